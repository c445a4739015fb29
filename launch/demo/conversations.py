"""Conversations made of tasks, and their rendering into (text, is it the model's text) segments."""

import json
from dataclasses import dataclass, field

import knowledge as k
import stories as s
import tasks
import tools
from split import is_held_out

END_OF_TEXT = "<|endoftext|>"
DEFAULT_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


@dataclass
class Conversation:
    messages: list
    tools: list = field(default_factory=list)


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def _blur(question, rng):
    """Users do not type as carefully as templates do."""
    roll = rng.random()
    if roll < 0.06 and question[-1] in "?.!":
        return question[:-1]
    if roll < 0.12:
        return question[0].lower() + question[1:]
    return question


def _plain_turns(rng):
    item = tasks.sample_training(rng)
    turns = [user(_blur(item.question, rng)), assistant(item.answer)]
    if item.task in ("add", "subtract") and rng.random() < 0.15:
        turns += follow_up(item, rng, want_held_out=False) or []
    return turns


def follow_up(item, rng, want_held_out):
    """`Add N to that.` after a sum or a difference, or None where no N fits."""
    result = int(item.answer.split("= ")[1].rstrip("."))
    if result > 98:
        return None
    for _ in range(50):
        n = rng.randrange(1, 100 - result)
        if is_held_out("add", tasks.sum_key(n, result, "that")) == want_held_out:
            return [user(f"Add {n} to that."), assistant(f"{result} + {n} = {result + n}.")]
    return None


def introduction(name, rng):
    wording = rng.choice(["My name is {}.", "I am {}.", "Hello, my name is {}."])
    return [user(wording.format(name)), assistant(f"Nice to meet you, {name}.")]


def recall(name, rng):
    wording = rng.choice(["What is my name?", "Do you remember my name?", "Who am I?"])
    return [user(wording), assistant(f"Your name is {name}.")]


def _memory(rng):
    name = rng.choice(list(s.NAMES))
    turns = introduction(name, rng)
    for _ in range(rng.randrange(3)):
        turns += _plain_turns(rng)
    return turns + recall(name, rng)


def tool_turns(request):
    return [user(request.question), tools.call_message(request),
            {"role": "tool", "content": request.response}, assistant(request.answer)]


def _sample_tool_conversation(rng):
    while True:
        request = tools.sample_request(rng)
        if not request.held_out:
            break
    offered = tools.offer(request, rng)
    names = {schema["function"]["name"] for schema in offered}
    turns = tool_turns(request)
    for _ in range(rng.randrange(4)):
        other = tools.sample_request(rng)
        if other.held_out:
            continue
        if other.name in names:
            turns += tool_turns(other)
        else:
            turns += _plain_turns(rng)
    if rng.random() < 0.2:
        turns = _plain_turns(rng) + turns
    return Conversation(turns, offered)


def _system(rng):
    if rng.random() < 0.85:
        return []
    return [{"role": "system", "content": rng.choice(k.SYSTEM_PROMPTS)}]


def _sample_raw(rng):
    """Plain text without a chat template, for completion requests."""
    item = tasks.sample_training(rng)
    if item.task in ("add", "subtract", "multiply") and rng.random() < 0.4:
        left, right = item.answer.rstrip(".").split(" = ")
        return [(f"{left} =", False), (f" {right}{END_OF_TEXT}", True)]
    if item.task == "story" and rng.random() < 0.7:
        head, tail = item.answer.split(". ", 1)
        return [(f"{head}.", False), (f" {tail}{END_OF_TEXT}", True)]
    if rng.random() < 0.5:
        return [(f"Question: {item.question}\nAnswer:", False),
                (f" {item.answer}{END_OF_TEXT}", True)]
    return [(_blur(item.question, rng), False), (f"\n{item.answer}{END_OF_TEXT}", True)]


def sample_document(rng):
    """One training document as a list of (text, is_target)."""
    roll = rng.random()
    if roll < 0.08:
        return _sample_raw(rng)
    if roll < 0.17:
        conversation = _sample_tool_conversation(rng)
        conversation.messages = _system(rng) + conversation.messages
        return render(conversation)
    if roll < 0.22:
        return render(Conversation(_system(rng) + _memory(rng)))
    turns = _plain_turns(rng)
    if rng.random() < 0.6:
        for _ in range(rng.randrange(1, 7)):
            turns += _plain_turns(rng)
    return render(Conversation(_system(rng) + turns))


def render(conversation):
    """What chat_template.jinja renders, cut where the speaker changes (train.py checks that)."""
    messages = list(conversation.messages)
    system = DEFAULT_SYSTEM
    if messages[0]["role"] == "system":
        system = messages.pop(0)["content"]
    if conversation.tools:
        signatures = "".join("\n" + json.dumps(t, ensure_ascii=False) for t in conversation.tools)
        system += (
            "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
            f"{signatures}\n</tools>\n\nFor each function call, return a json object with function "
            "name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
            '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>')
    segments = [(f"<|im_start|>system\n{system}<|im_end|>\n", False)]
    for message in messages:
        if message["role"] == "assistant":
            segments += [("<|im_start|>assistant\n", False),
                         (f"{message_text(message)}<|im_end|>", True), ("\n", False)]
        elif message["role"] == "tool":
            segments.append((f"<|im_start|>user\n<tool_response>\n{message['content']}\n"
                             "</tool_response><|im_end|>\n", False))
        else:
            segments.append((f"<|im_start|>user\n{message['content']}<|im_end|>\n", False))
    return segments


def message_text(message):
    """The text that the model has to produce for an assistant message."""
    if "tool_calls" not in message:
        return message["content"]
    call = message["tool_calls"][0]["function"]
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return f'<tool_call>\n{{"name": "{call["name"]}", "arguments": {arguments}}}\n</tool_call>'
