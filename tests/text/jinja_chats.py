"""Random conversations as contexts of chat templates: tools, tool calls and results, list-form content, odd white space, Unicode."""

import json

import chat_oracle

SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
KEYS = ["location", "unit", "ключ", "x", "items", "k\"q"]


def text(rng):
    return rng.choice([chat_oracle.random_text(rng), "  " + chat_oracle.random_text(rng) + "\n", "", "line\r\nline\n\n", "word " * rng.randint(1, 200),
                       "<think>\nhm\n</think>\n\nanswer", "<tool_response>\nx\n</tool_response>", "\u00a0\u2003odd\u3000", "a</think>b</think>c"])


def schema(rng, depth=2):
    kind = rng.choice(["string", "number", "integer", "boolean", "array", "object", ["string", "null"]])
    result = {"type": kind}
    if rng.random() < 0.8:
        result["description"] = text(rng)
    if kind == "array" and depth:
        result["items"] = schema(rng, depth - 1)
    if kind == "object" and depth:
        result["properties"] = {key: schema(rng, depth - 1) for key in rng.sample(KEYS, rng.randint(0, 2))}
        if rng.random() < 0.5:
            result["additionalProperties"] = schema(rng, depth - 1)
    if rng.random() < 0.2:
        result["enum"] = ["a", "b", 3]
    return result


def tool(rng):
    function = {"name": rng.choice(["get_weather", "add", "ünï"]), "description": text(rng),
                "parameters": {"type": "object", "properties": {key: schema(rng) for key in rng.sample(KEYS, rng.randint(0, 3))}, "required": ["location"]}}
    if rng.random() < 0.3:
        function["return"] = {"type": "string", "description": text(rng)}
    return {"type": "function", "function": function} if rng.random() < 0.9 else function


def call(rng):
    arguments = chat_oracle.random_object(rng)
    function = {"name": rng.choice(["f", "get_weather"]), "arguments": arguments if rng.random() < 0.7 else json.dumps(arguments)}
    result = {"type": "function", "function": function} if rng.random() < 0.9 else function
    if rng.random() < 0.8:
        result["id"] = rng.choice(["abcdefghi", "call_1", "123456789"])
    return result


def content(rng):
    if rng.random() < 0.1:
        return [{"type": "text", "text": text(rng)} for _ in range(rng.randint(0, 2))]
    return text(rng)


def message(rng, role):
    result = {"role": role, "content": content(rng)}
    if role == "assistant":
        if rng.random() < 0.3:
            result["tool_calls"] = [call(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
            if rng.random() < 0.7:
                result["content"] = None
        if rng.random() < 0.1:
            result["reasoning_content"] = text(rng)
        if rng.random() < 0.05:
            del result["content"]
    if role == "tool":
        result["tool_call_id"] = rng.choice(["abcdefghi", "call_1"])
        result["name"] = "f"
    return result


def conversation(rng):
    roles = ["system"] if rng.random() < 0.5 else []
    length = rng.choice([1, 2, 3, 4, 5, 8, 30]) if rng.random() < 0.98 else 0
    if rng.random() < 0.6:  # in turns, as most templates demand
        for i in range(length):
            roles.append("user" if i % 2 == 0 else "assistant")
            if i % 2 == 1 and rng.random() < 0.2:
                roles.append("tool")
    else:
        roles += [rng.choice(["user", "assistant", "tool", "system", "developer"]) for _ in range(length)]
    return [message(rng, role) for role in roles]


def context(rng):
    return {"messages": conversation(rng), "tools": [tool(rng) for _ in range(rng.randint(1, 3))] if rng.random() < 0.4 else None, "documents": None,
            "add_generation_prompt": rng.random() < 0.6, "date_string": "26 Jul 2024", **SPECIAL_TOKENS,
            **({"enable_thinking": rng.random() < 0.5} if rng.random() < 0.3 else {})}
