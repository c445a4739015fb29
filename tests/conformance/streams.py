"""What a stream's chunks amount to, in any server's dialect: the whole, the order and the keys of chunks."""

def extend(whole: dict, part: dict) -> None:
    """Of log-probabilities: lists are continued."""
    for key, value in part.items():
        whole[key] = whole[key] + value if isinstance(whole.get(key), list) and isinstance(value, list) else value


def add_delta(choice: dict, delta: dict) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            for call in value or []:
                calls = choice.setdefault("tool_calls", {})
                known = calls.setdefault(call["index"], {"function": {"name": "", "arguments": ""}})
                known |= {name: call[name] for name in ("id", "type") if call.get(name)}
                for name, text in call.get("function", {}).items():
                    known["function"][name] += text or ""
        elif isinstance(value, str) and key != "role":
            choice[key] = choice.get(key, "") + value
        elif value is not None:
            choice[key] = value


def join(chunks: list[dict]) -> dict:
    """Choices with what their deltas add up to, and the usage. Nulls and empty text do not count."""
    choices: dict[int, dict] = {}
    whole: dict = {}
    for chunk in chunks:
        whole |= {key: chunk[key] for key in ("usage", "prompt_token_ids") if chunk.get(key) is not None}
        for piece in chunk["choices"]:
            choice = choices.setdefault(piece["index"], {"index": piece["index"]})
            add_delta(choice, piece.get("delta") or {"text": piece.get("text")})
            for key in ("finish_reason", "stop_reason", "prompt_token_ids"):
                if piece.get(key) is not None:
                    choice[key] = piece[key]
            if piece.get("token_ids") is not None:
                choice["token_ids"] = choice.get("token_ids", []) + piece["token_ids"]
            if piece.get("logprobs") is not None:
                extend(choice.setdefault("logprobs", {}), piece["logprobs"])
    for choice in choices.values():
        if "tool_calls" in choice:
            choice["tool_calls"] = [call for _, call in sorted(choice["tool_calls"].items())]
            choice["content"] = choice.get("content") or ""
    return whole | {"choices": [choices[index] for index in sorted(choices)]}


def kinds_of(piece: dict) -> list[str]:
    """What a chunk brings to its choice, in the order in which a client meets it."""
    delta = piece.get("delta", piece)
    kinds = ["role"] if delta.get("role") else []
    kinds += ["text"] if delta.get("content") or delta.get("text") else []
    for call in delta.get("tool_calls") or []:
        kinds += [f"call {call['index']}"] if call.get("id") else []
        kinds += [f"arguments {call['index']}"] if (call.get("function") or {}).get("arguments") else []
    return kinds + (["finish"] if piece.get("finish_reason") else [])


def order(chunks: list[dict]) -> dict[str, list[str]]:
    """For each choice what comes after what, repetitions counted once; and what comes behind all choices."""
    orders: dict[str, list[str]] = {}
    for chunk in chunks:
        if not chunk["choices"]:
            orders.setdefault("end", []).append("usage" if chunk.get("usage") else "nothing")
        for piece in chunk["choices"]:
            seen = orders.setdefault(f"choice {piece['index']}", [])
            for kind in kinds_of(piece):
                if not seen or seen[-1] != kind:
                    seen.append(kind)
    return orders


def merged(values: list[dict]) -> dict:
    """The keys of all objects in one: what a client may meet. A list becomes one of all its entries in one."""
    whole: dict = {}
    for value in values:
        for key, inner in value.items():
            known = whole.get(key)
            if isinstance(inner, dict):
                whole[key] = merged([known or {}, inner])
            elif isinstance(inner, list) and any(isinstance(entry, dict) for entry in inner):
                whole[key] = [merged([entry for entry in [*(known or []), *inner] if isinstance(entry, dict)])]
            elif known is None:
                whole[key] = inner
    return whole


def keys(chunks: list[dict]) -> dict[str, dict]:
    """All that chunks of choices say, and the usage behind them, for comparing shapes.

    Servers cut a stream as their load has it, so no chunk of a choice has a shape of its own.
    """
    return {kind: merged([chunk for chunk in chunks if bool(chunk["choices"]) == (kind == "choice")])
            for kind in ("choice", "usage")}
