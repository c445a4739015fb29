"""The shape of the HTTP API's answers: exactly these keys with values of these types; and a stream put together again.

A set in a shape is a choice of shapes, a list of one shape a list of any length, a function a check of a value.
"""

INT = int
FLOAT = float
STR = str


def one_of(*shapes):
    return lambda value, path: any(not faults(value, shape, path) for shape in shapes)


def optional(shape):
    return one_of(None, shape)


class Maybe:
    """A key that is there only for requests that ask for it."""

    def __init__(self, shape):
        self.shape = shape


def faults(value, shape, path: str = "answer") -> list[str]:
    if isinstance(shape, type):
        return [] if type(value) is shape else [f"{path} is {value!r}, not of type {shape.__name__}"]
    if isinstance(shape, dict):
        if type(value) is not dict:
            return [f"{path} is {value!r}, not an object"]
        required = {key for key, inner in shape.items() if not isinstance(inner, Maybe)}
        found = [f"{path} lacks {key}" for key in sorted(required - set(value))]
        found += [f"{path} has {key}, which nobody expects" for key in sorted(set(value) - set(shape))]
        for key in set(value) & set(shape):
            inner = shape[key].shape if isinstance(shape[key], Maybe) else shape[key]
            found += faults(value[key], inner, f"{path}.{key}")
        return found
    if isinstance(shape, list):
        if type(value) is not list:
            return [f"{path} is {value!r}, not a list"]
        return [fault for i, entry in enumerate(value) for fault in faults(entry, shape[0], f"{path}[{i}]")]
    if callable(shape):
        return [] if shape(value, path) else [f"{path} is {value!r}"]
    return [] if value == shape and type(value) is type(shape) else [f"{path} is {value!r}, not {shape!r}"]


def by_key(shape):
    return lambda value, path: type(value) is dict and not any(faults(v, shape, f"{path}.{k}")
                                                               for k, v in value.items())


def starts(prefix: str):
    return lambda value, path: type(value) is str and value.startswith(prefix) and len(value) > len(prefix)


USAGE = {"prompt_tokens": INT, "completion_tokens": INT, "total_tokens": INT,
         "prompt_tokens_details": {"cached_tokens": INT}}
HEAD = {"created": INT, "model": "demo", "system_fingerprint": starts("fp_")}
IDS = [INT]
REASON = one_of("stop", "length", "tool_calls")
STOP_REASON = one_of(None, STR, INT)
PROMPT_LOGPROBS = [optional(by_key({"logprob": FLOAT, "rank": optional(INT), "decoded_token": STR}))]

TOP = {"token": STR, "logprob": FLOAT, "bytes": IDS}
CHAT_LOGPROBS = {"content": [{**TOP, "top_logprobs": [TOP]}]}
TOOL_CALL = {"id": starts("call_"), "type": "function", "function": {"name": STR, "arguments": STR}}
CHAT_ANSWER = {
    "id": starts("chatcmpl-"), "object": "chat.completion", **HEAD,
    "choices": [{"index": INT,
                 "message": {"role": "assistant", "content": optional(STR), "refusal": None,
                             "tool_calls": [TOOL_CALL]},
                 "logprobs": optional(CHAT_LOGPROBS), "finish_reason": REASON, "stop_reason": STOP_REASON,
                 "token_ids": Maybe(IDS)}],
    "usage": USAGE, "prompt_logprobs": Maybe(PROMPT_LOGPROBS), "prompt_token_ids": Maybe(IDS)}
CALL_DELTA = one_of({"index": INT, "id": starts("call_"), "type": "function",
                     "function": {"name": STR, "arguments": STR}},
                    {"index": INT, "function": {"arguments": STR}})
CHAT_CHUNK = {
    "id": starts("chatcmpl-"), "object": "chat.completion.chunk", **HEAD,
    "choices": [{"index": INT,
                 "delta": {"role": Maybe("assistant"), "content": Maybe(optional(STR)),
                           "tool_calls": Maybe([CALL_DELTA])},
                 "logprobs": optional(CHAT_LOGPROBS), "finish_reason": optional(REASON),
                 "stop_reason": Maybe(STOP_REASON), "token_ids": Maybe(IDS)}],
    "usage": Maybe(optional(USAGE)), "prompt_token_ids": Maybe(IDS)}

TEXT_LOGPROBS = {"tokens": [STR], "token_logprobs": [optional(FLOAT)], "top_logprobs": [optional(by_key(FLOAT))],
                 "text_offset": [INT]}
TEXT_CHOICE = {"index": INT, "text": STR, "logprobs": optional(TEXT_LOGPROBS), "stop_reason": STOP_REASON,
               "token_ids": Maybe(IDS), "prompt_token_ids": Maybe(IDS)}
TEXT_ANSWER = {
    "id": starts("cmpl-"), "object": "text_completion", **HEAD,
    "choices": [{**TEXT_CHOICE, "finish_reason": REASON, "prompt_logprobs": optional(PROMPT_LOGPROBS)}],
    "usage": USAGE}
TEXT_CHUNK = {"id": starts("cmpl-"), "object": "text_completion", **HEAD,
              "choices": [{**TEXT_CHOICE, "finish_reason": optional(REASON)}], "usage": Maybe(optional(USAGE))}

ERROR = {"error": {"message": STR, "type": STR, "param": optional(STR), "code": INT}}
MODEL_LIST = {"object": "list",
              "data": [{"id": STR, "object": "model", "created": INT, "owned_by": "phalanx", "root": STR,
                        "parent": None, "max_model_len": INT}]}


def expect(value, shape) -> None:
    found = faults(value, shape)
    assert not found, "\n".join(found)


def without_head(body: dict) -> dict:
    """What two answers to one request have in common."""
    body = {key: value for key, value in body.items()
            if key not in ("id", "object", "created", "model", "system_fingerprint")}
    for choice in body["choices"]:
        for call in choice.get("message", {}).get("tool_calls", []):
            call.pop("id", None)
    return body


# ------------------------------------------------------------------------------------- streams


def expect_one_head(chunks: list[dict]) -> None:
    for key in ("id", "created", "model", "system_fingerprint"):
        assert len({chunk[key] for chunk in chunks}) == 1, f"{key} changes"


def join_logprobs(whole, part):
    if whole is None or part is None:
        return part if whole is None else whole
    return {key: whole[key] + part[key] for key in whole}


def join_chat(chunks: list[dict]) -> dict:
    """The whole answer that a chat's chunks amount to; checks their shape and order. The last one has the usage."""
    for chunk in chunks:
        expect(chunk, CHAT_CHUNK)
    expect_one_head(chunks)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"], chunks[-1]
    assert all(chunk["usage"] is None and len(chunk["choices"]) == 1 for chunk in chunks[:-1])
    assert all("prompt_token_ids" not in chunk for chunk in chunks[1:]), "the prompt's ids come once"
    choices: dict[int, dict] = {}
    for chunk in chunks[:-1]:
        piece = chunk["choices"][0]
        delta = piece["delta"]
        is_first = piece["index"] not in choices
        assert ("role" in delta) == is_first, "the role comes with a choice's first chunk alone"
        choice = choices.setdefault(piece["index"], {
            "index": piece["index"], "message": {"role": "assistant", "content": None, "refusal": None,
                                                 "tool_calls": []},
            "logprobs": None, "finish_reason": None})
        assert choice["finish_reason"] is None, "a chunk after the finish reason"
        if piece["finish_reason"] is not None:
            assert delta == {} and piece["logprobs"] is None, f"not empty: {piece}"
            choice |= {"finish_reason": piece["finish_reason"], "stop_reason": piece["stop_reason"]}
            continue
        assert "stop_reason" not in piece, piece
        message = choice["message"]
        if delta.get("content") is not None:
            message["content"] = (message["content"] or "") + delta["content"]
        for call in delta.get("tool_calls", []):
            if "id" in call:
                assert call["index"] == len(message["tool_calls"]), "calls come in order"
                message["tool_calls"].append({"type": "function", "function": dict(call["function"])})
            else:
                message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
        choice["logprobs"] = join_logprobs(choice["logprobs"], piece["logprobs"])
        if "token_ids" in piece:
            choice["token_ids"] = choice.get("token_ids", []) + piece["token_ids"]
    for choice in choices.values():
        assert choice["finish_reason"] is not None, "a choice without an end"
        message = choice["message"]
        message["content"] = message["content"] or (None if message["tool_calls"] else "")
    ids = {"prompt_token_ids": chunks[0]["prompt_token_ids"]} if "prompt_token_ids" in chunks[0] else {}
    return {"choices": [choices[i] for i in sorted(choices)], "usage": chunks[-1]["usage"], **ids}


def join_text(chunks: list[dict]) -> dict:
    """Likewise of completions."""
    for chunk in chunks:
        expect(chunk, TEXT_CHUNK)
    expect_one_head(chunks)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"], chunks[-1]
    assert all(chunk["usage"] is None and len(chunk["choices"]) == 1 for chunk in chunks[:-1])
    choices: dict[int, dict] = {}
    for chunk in chunks[:-1]:
        piece = chunk["choices"][0]
        choice = choices.get(piece["index"])
        if choice is None:
            choices[piece["index"]] = dict(piece)
            continue
        assert choice["finish_reason"] is None, "a chunk after the finish reason"
        assert "prompt_token_ids" not in piece, "the prompt's ids come once"
        choice["text"] += piece["text"]
        choice["logprobs"] = join_logprobs(choice["logprobs"], piece["logprobs"])
        choice |= {"finish_reason": piece["finish_reason"], "stop_reason": piece["stop_reason"]}
        if "token_ids" in piece:
            choice["token_ids"] += piece["token_ids"]
    for choice in choices.values():
        assert choice["finish_reason"] is not None, "a choice without an end"
    return {"choices": [choices[i] for i in sorted(choices)], "usage": chunks[-1]["usage"]}
