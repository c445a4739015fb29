"""Random chats, and what transformers renders for them."""

import json
import string

from transformers.utils.chat_template_utils import render_jinja_template

WORDS = ["hello", "Wie geht's?", "naïve", "你好", "🙂", "</think>", "<think>", "<|im_end|>", "\n", "\n\n", " ", "\t", "{{ x }}",
         "{% if %}", "<tool_call>", "\"quoted\"", "back\\slash", "'", "\u2028", "é", "e\u0301", "0.1", "None"]


def random_text(rng, longest=6):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, longest)))


def random_number(rng):
    return rng.choice([
        rng.randint(-10, 10), rng.randint(-2**70, 2**70), 2**63, -2**63, 2**64, 0.0, -0.0, 1.0, 1e16, 1e15, 123456789012345680.0,
        1e-4, 1e-5, 1.5e300, 5e-324, 0.1, rng.uniform(-1, 1), rng.random() * 10.0 ** rng.randint(-30, 30)])


def random_json(rng, depth=3):
    kind = rng.randint(0, 6 if depth else 4)
    if kind == 0:
        return rng.choice([True, False, None])
    if kind in (1, 2):
        return random_number(rng)
    if kind in (3, 4):
        return random_text(rng, 3) + rng.choice(["", "\x00", "\x1f", "\x7f", "\b\f\r", "/", "\u00ad"])
    if kind == 5:
        return [random_json(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return random_object(rng, depth)


def random_object(rng, depth=3):
    keys = ["z", "a", "Name", "ключ", "type", "k\"", rng.choice(string.ascii_letters)]
    rng.shuffle(keys)
    return {key: random_json(rng, depth - 1) for key in dict.fromkeys(keys[:rng.randint(0, 4)])}


def random_tool(rng):
    return {"type": "function", "function": {
        "name": rng.choice(["get_weather", "add"]), "description": random_text(rng),
        "parameters": {"type": "object", "properties": random_object(rng), "required": ["a"]}}}


def random_chat(rng, may_call_tools):
    """A chat as render_tool takes it: JSON inside is text."""
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": random_text(rng)})
    for _ in range(rng.randint(1, 6)):
        role = rng.choice(["user", "assistant", "system", "tool", "assistant", "tool"]) if may_call_tools else \
            rng.choice(["user", "assistant", "system"])
        message = {"role": role, "content": random_text(rng)}
        if role == "assistant" and may_call_tools and rng.random() < 0.6:
            message["tool_calls"] = [{"name": rng.choice(["f", "get_weather", "ünï"]),
                                      "arguments": json.dumps(random_object(rng), ensure_ascii=rng.random() < 0.5)}
                                     for _ in range(rng.randint(1, 3))]
            if rng.random() < 0.7:
                message["content"] = None
        messages.append(message)
    tools = [json.dumps(random_tool(rng), indent=rng.choice([None, 2]), ensure_ascii=rng.random() < 0.5)
             for _ in range(rng.randint(0, 3))] if may_call_tools else []
    return {"messages": messages, "tools": tools, "add_generation_prompt": rng.random() < 0.7}


def render(template, bos_token, chat, arguments_are_objects):
    """What transformers makes of it. Tool arguments are objects for Qwen's templates, text for DeepSeek's."""
    messages = []
    for message in chat["messages"]:
        message = dict(message)
        if "tool_calls" in message:
            message["tool_calls"] = [
                {"type": "function", "function": {
                    "name": call["name"],
                    "arguments": json.loads(call["arguments"]) if arguments_are_objects else call["arguments"]}}
                for call in message["tool_calls"]]
        messages.append(message)
    rendered, _ = render_jinja_template(
        conversations=[messages], tools=[json.loads(tool) for tool in chat["tools"]] or None, chat_template=template,
        add_generation_prompt=chat["add_generation_prompt"], bos_token=bos_token)
    return rendered[0]
