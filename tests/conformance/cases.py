"""Good requests, one row each, in the words of the HTTP API. Every row runs over HTTP and gRPC, whole and as a stream.

`check` is what must hold of the whole HTTP answer beyond its shape and the agreement of all four.
"""

import dataclasses
import json
import pathlib
import re
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "launch/demo"))
import tools as demo_tools  # noqa: E402

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"

END_OF_TURN = 2045  # of the bundled model
FULL_STOP = 13


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    path: str
    fields: dict
    check: Callable[[dict], bool] = lambda answer: True


def user(text) -> list[dict]:
    return [{"role": "user", "content": text}]


def chat(name: str, check=lambda answer: True, messages=None, **fields) -> Case:
    asked = user("What is the capital of France?") if messages is None else messages
    return Case(f"chat: {name}", CHAT, {"messages": asked, "max_tokens": 12, **fields}, check)


def text(name: str, check=lambda answer: True, prompt="Once upon a time", **fields) -> Case:
    return Case(f"text: {name}", TEXT, {"prompt": prompt, "max_tokens": 12, **fields}, check)


def first(answer: dict) -> dict:
    return answer["choices"][0]


def words(answer: dict) -> str:
    choice = first(answer)
    return choice["message"]["content"] if "message" in choice else choice["text"]


def reason(answer: dict) -> str:
    return first(answer)["finish_reason"]


def stop_reason(answer: dict):
    return first(answer)["stop_reason"]


def completion_tokens(answer: dict) -> int:
    return answer["usage"]["completion_tokens"]


def differ(answer: dict) -> bool:
    return len({json.dumps(choice.get("message", choice.get("text"))) for choice in answer["choices"]}) > 1


def best_are_sampled(answer: dict) -> bool:
    return all(token["logprob"] == token["top_logprobs"][0]["logprob"]
               for token in first(answer)["logprobs"]["content"])


WEATHER = user("What is the weather in Paris?")
WEATHER_TOOL = demo_tools.SCHEMAS["get_weather"]
CALL = {"id": "call_1", "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
AFTER_CALL = [*WEATHER, {"role": "assistant", "content": None, "tool_calls": [CALL]},
              {"role": "tool", "tool_call_id": "call_1", "content": '{"degrees": 21, "sky": "sunny"}'}]
HOT = {"temperature": 1, "seed": 7}
PET = {"type": "object", "properties": {"kind": {"enum": ["cat", "dog"]}, "age": {"type": "integer", "maximum": 99}},
       "required": ["kind", "age"], "additionalProperties": False}

PET_FORMAT = {"type": "json_schema", "json_schema": PET}
PET_TAG = {"type": "structural_tag", "format": {"type": "tag", "begin": "<pet>", "content": PET_FORMAT, "end": "</pet>"}}
SEVEN_BEHIND_A = {"type": "structural_tag", "triggers": ["a"],
                  "structures": [{"begin": "a", "schema": {"enum": [7]}, "end": "!"}]}
SUM = 'root ::= number "+" number "=" number\nnumber ::= [1-9] [0-9]?\n'


def named(tool: dict) -> dict:
    return {"type": "function", "function": {"name": tool["function"]["name"]}}


def calls_of(answer: dict) -> list[tuple[str, dict]]:
    """Names and arguments; of a message that says nothing beside its calls."""
    message = first(answer)["message"]
    assert not message["content"], message
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message["tool_calls"]]


def is_pet(said: str) -> bool:
    pet = json.loads(said)
    return pet["kind"] in ("cat", "dog") and pet["age"] <= 99 and len(pet) == 2


def is_tagged_pet(said: str) -> bool:
    return said.startswith("<pet>") and said.endswith("</pet>") and is_pet(said[len("<pet>"):-len("</pet>")])


def is_sum(said: str) -> bool:
    return re.fullmatch(r"[1-9]\d?\+[1-9]\d?=[1-9]\d?", said) is not None


PARIS_CALL = [("get_weather", {"city": "Paris"})]

CASES = [
    # Prompts.
    chat("one question", lambda a: "Paris" in words(a) and reason(a) == "stop"),
    chat("content as a list of parts", lambda a: "Paris" in words(a),
         messages=user([{"type": "text", "text": "What is the capital"}, {"type": "text", "text": "of France?"}])),
    chat("all roles", messages=[{"role": "developer", "content": "Be brief."}, *user("Hi."),
                                {"role": "assistant", "content": "Hello."}, *user("What is 2 + 2?")]),
    chat("no max_tokens", lambda a: reason(a) == "stop", max_tokens=None),
    chat("max_completion_tokens counts", lambda a: completion_tokens(a) == 3, max_completion_tokens=3),
    chat("no generation prompt", add_generation_prompt=False),
    chat("continue_final_message", lambda a: "Paris" in words(a), continue_final_message=True,
         messages=[*user("What is the capital of France?"), {"role": "assistant", "content": "The capital of France"}]),
    text("a string", lambda a: reason(a) == "length"),
    text("sixteen tokens", lambda a: completion_tokens(a) == 16, max_tokens=None, ignore_eos=True),
    text("token ids", prompt=[100, 200, 300, 400]),
    text("several strings", lambda a: len(a["choices"]) == 3, prompt=["Once upon", "What is", "a"]),
    text("several lists of ids", lambda a: len(a["choices"]) == 2, prompt=[[100, 200], [300]]),
    text("several prompts, several choices", lambda a: [c["index"] for c in a["choices"]] == [0, 1, 2, 3] and differ(a),
         prompt=["Once upon", "What is"], n=2, **HOT),
    text("characters of several bytes", prompt="é日本語🙂 \u0000 end"),
    # Sampling.
    chat("greedy", temperature=0),
    text("sampled", **HOT),
    text("a seed of 64 bits", temperature=1, seed=2**64 - 1),
    text("a negative seed", temperature=1, seed=-2),
    text("a hot one with all filters", temperature=1.7, seed=11, top_k=40, top_p=0.9, min_p=0.01),
    text("penalties", presence_penalty=1.5, frequency_penalty=-0.5, repetition_penalty=1.3, **HOT),
    text("logit_bias forbids and forces", lambda a: words(a) == words(a)[:1] * 12, max_tokens=12, ignore_eos=True,
         logit_bias={str(35): 100, str(36): -100}),
    text("allowed_token_ids", lambda a: set(first(a)["token_ids"]) <= {35, 36, 37}, allowed_token_ids=[35, 36, 37],
         ignore_eos=True, return_token_ids=True, **HOT),
    text("bad_words", lambda a: "," not in words(a), bad_words=[","], max_tokens=40),
    # Ends.
    text("stop string", lambda a: stop_reason(a) == " a" and " a" not in words(a), stop=" a", max_tokens=40),
    text("stop strings", lambda a: stop_reason(a) in (" a", "was"), stop=["zzz", "was", " a"], max_tokens=40),
    text("stop string stays", lambda a: words(a).endswith(" a"), stop=[" a"], max_tokens=40,
         include_stop_str_in_output=True),
    chat("stop token", lambda a: stop_reason(a) == FULL_STOP and "." not in words(a), stop_token_ids=[7, FULL_STOP]),
    chat("end of turn as a stop token", lambda a: stop_reason(a) == END_OF_TURN, ignore_eos=True,
         stop_token_ids=[END_OF_TURN], max_tokens=40),
    chat("ignore_eos", lambda a: completion_tokens(a) == 30 and reason(a) == "length", ignore_eos=True, max_tokens=30),
    chat("min_tokens", lambda a: completion_tokens(a) >= 20, min_tokens=20, max_tokens=30),
    chat("special tokens in the text", lambda a: "<|im_end|>" in words(a), skip_special_tokens=False, ignore_eos=True,
         max_tokens=30),
    # Log-probabilities.
    chat("logprobs", lambda a: best_are_sampled(a), logprobs=True, top_logprobs=5),
    chat("logprobs alone", lambda a: all(t["top_logprobs"] == [] for t in first(a)["logprobs"]["content"]),
         logprobs=True),
    chat("logprobs of several choices", differ, logprobs=True, top_logprobs=20, n=3, messages=user("Tell me a story."),
         **HOT),
    text("logprobs", lambda a: len(first(a)["logprobs"]["tokens"]) == 12, logprobs=3),
    text("logprobs of zero alternatives", lambda a: all(len(t) == 1 for t in first(a)["logprobs"]["top_logprobs"]),
         logprobs=0),
    text("logprobs of characters in parts", prompt="🙂日本", logprobs=5, echo=True, **HOT),
    text("echo", lambda a: words(a).startswith("Once upon a time"), echo=True),
    text("echo of several choices", lambda a: all(c["text"].startswith("What") for c in a["choices"]), echo=True, n=2,
         prompt=["What is", "What was"], logprobs=1, **HOT),
    text("echo with logprobs", lambda a: len(first(a)["logprobs"]["tokens"]) == a["usage"]["total_tokens"] and
         first(a)["logprobs"]["token_logprobs"][0] is None, echo=True, logprobs=2),
    text("echo of ids with logprobs", prompt=[100, 200, 300], echo=True, logprobs=1, max_tokens=1),
    text("echo alone", lambda a: completion_tokens(a) == 0 and words(a) == "Once upon a time", echo=True, max_tokens=0),
    text("echo alone with logprobs", lambda a: len(first(a)["logprobs"]["tokens"]) == a["usage"]["prompt_tokens"],
         echo=True, max_tokens=0, logprobs=1),
    # Several choices, ids, labels.
    chat("several choices", differ, n=4, messages=user("Tell me a story."), **HOT),
    chat("return_token_ids", lambda a: len(first(a)["token_ids"]) == completion_tokens(a), return_token_ids=True),
    text("return_token_ids", lambda a: first(a)["prompt_token_ids"] == [100, 200], prompt=[100, 200],
         return_token_ids=True),
    text("return_token_ids of several", return_token_ids=True, prompt=["Once", "What is"], n=2, logprobs=1, **HOT),
    text("priority and labels", priority=-3, request_id="mine", user="somebody"),
    # Tools.
    chat("a tool call", lambda a: reason(a) == "tool_calls" and first(a)["message"]["content"] is None,
         messages=WEATHER, tools=[WEATHER_TOOL], max_tokens=48),
    chat("no tool call", lambda a: first(a)["message"]["tool_calls"] == [], messages=WEATHER, tools=[WEATHER_TOOL],
         tool_choice="none", max_tokens=48),
    chat("a tool's answer", lambda a: "21" in words(a), messages=AFTER_CALL, tools=[WEATHER_TOOL], max_tokens=48),
    chat("tool calls with logprobs and ids", lambda a: len(first(a)["token_ids"]) == completion_tokens(a),
         messages=WEATHER, tools=[WEATHER_TOOL], max_tokens=48, logprobs=True, return_token_ids=True),
    chat("tools, and the model decides", lambda a: calls_of(a) == PARIS_CALL, messages=WEATHER, tools=[WEATHER_TOOL],
         tool_choice="auto", max_tokens=48),
    chat("a call that must be", lambda a: calls_of(a) == PARIS_CALL and reason(a) == "tool_calls", messages=WEATHER,
         tools=[demo_tools.SCHEMAS["get_time"], WEATHER_TOOL], tool_choice="required", max_tokens=48),
    chat("a call of any tool, unasked", lambda a: {name for name, _ in calls_of(a)} <= {"get_weather", "set_timer"} and
         reason(a) == "tool_calls", tools=[demo_tools.SCHEMAS["set_timer"], WEATHER_TOOL], tool_choice="required",
         max_tokens=400, **HOT),
    chat("one call of any tool", lambda a: len(calls_of(a)) == 1, tools=[demo_tools.SCHEMAS["set_timer"], WEATHER_TOOL],
         tool_choice="required", parallel_tool_calls=False, max_tokens=400, **HOT),
    chat("a call of a named tool", lambda a: calls_of(a) == PARIS_CALL and reason(a) == "stop", messages=WEATHER,
         tools=[demo_tools.SCHEMAS["get_time"], WEATHER_TOOL], tool_choice=named(WEATHER_TOOL), max_tokens=48),
    chat("a named tool against the question", lambda a: [name for name, _ in calls_of(a)] == ["get_time"],
         messages=WEATHER, tools=[demo_tools.SCHEMAS["get_time"], WEATHER_TOOL], max_tokens=400,
         tool_choice=named(demo_tools.SCHEMAS["get_time"])),
    chat("a call that is cut short", lambda a: first(a)["message"]["tool_calls"] == [] and reason(a) == "length",
         messages=WEATHER, tools=[WEATHER_TOOL], tool_choice="required", max_tokens=8),
    chat("a call whose arguments are cut short", messages=WEATHER, tools=[WEATHER_TOOL], tool_choice="required",
         check=lambda a: first(a)["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "' and
         reason(a) == "length", max_tokens=16),
    chat("calls of several choices", lambda a: all(c["message"]["tool_calls"] for c in a["choices"]), messages=WEATHER,
         tools=[WEATHER_TOOL], tool_choice="required", parallel_tool_calls=False, n=3, max_tokens=400, logprobs=True,
         return_token_ids=True, **HOT),
    # Structured output, in chats and texts and in each of its spellings.
    chat("a schema", lambda a: is_pet(words(a)), max_tokens=400,
         response_format={"type": "json_schema", "json_schema": {"name": "pet", "schema": PET}}, **HOT),
    text("a schema", lambda a: is_pet(words(a)), max_tokens=400, structured_outputs={"json": PET}, **HOT),
    text("a schema as text", lambda a: is_pet(words(a)), max_tokens=400, guided_json=json.dumps(PET), **HOT),
    chat("an object", lambda a: words(a).lstrip().startswith("{"), response_format={"type": "json_object"}),
    text("an object", lambda a: words(a).lstrip().startswith("{"), structured_outputs={"json_object": True}, **HOT),
    text("an expression", lambda a: re.fullmatch(r"\d{4}-\d{2}", words(a)),
         structured_outputs={"regex": r"\d{4}-\d{2}"}, **HOT),
    chat("an expression", lambda a: re.fullmatch(r"(yes|no)!{2}", words(a)), guided_regex="(yes|no)!{2}", **HOT),
    text("a choice", lambda a: words(a) in ("left", "right"), guided_choice=["left", "right"], **HOT),
    chat("a choice", lambda a: words(a) in ("left", "right é"), structured_outputs={"choice": ["left", "right é"]}, **HOT),
    text("a grammar", lambda a: is_sum(words(a)), structured_outputs={"grammar": SUM}, **HOT),
    chat("a grammar", lambda a: is_sum(words(a)), guided_grammar=SUM, **HOT),
    chat("a structural tag", lambda a: is_tagged_pet(words(a)), response_format=PET_TAG, max_tokens=400, **HOT),
    text("a structural tag", lambda a: is_tagged_pet(words(a)), max_tokens=400,
         structured_outputs={"structural_tag": json.dumps(PET_TAG)}, **HOT),
    text("a structural tag of the older form", lambda a: re.fullmatch("([^a]|a7!)*(a7?)?", words(a), re.DOTALL),
         max_tokens=100, response_format=SEVEN_BEHIND_A, **HOT),
    chat("a schema of several choices", lambda a: all(is_pet(c["message"]["content"]) for c in a["choices"]), n=3,
         max_tokens=400, response_format={"type": "json_schema", "json_schema": {"name": "pet", "schema": PET}}, **HOT),
]

# Whole answers alone: HTTP streams have no place for these.
WHOLE_CASES = [
    chat("prompt_logprobs", lambda a: len(a["prompt_logprobs"]) == a["usage"]["prompt_tokens"], prompt_logprobs=2),
    text("prompt_logprobs", lambda a: first(a)["prompt_logprobs"][0] is None, prompt_logprobs=0),
    text("prompt_logprobs of several prompts", prompt=["Once upon", "What is it"], prompt_logprobs=3, logprobs=1),
]

# Fields with the value that an absent one means, for both endpoints: the answers must be the same.
DEFAULTS = {
    "temperature": 0, "top_p": 1, "top_k": 0, "min_p": 0.0, "presence_penalty": 0, "frequency_penalty": 0,
    "repetition_penalty": 1, "logit_bias": {}, "allowed_token_ids": [], "bad_words": [], "seed": -1, "n": 1,
    "best_of": 1, "min_tokens": 0, "stop": [], "stop_token_ids": [], "ignore_eos": False,
    "include_stop_str_in_output": False, "skip_special_tokens": True, "stream": False, "return_token_ids": False,
    "priority": 0, "request_id": "", "user": "u", "model": "demo", "response_format": {"type": "text"},
    "logprob_token_ids": [], "thinking_token_budget": -1, "watermarking": False, "session_id": "s",
    "stream_interval": 4, "truncation_side": "left", "some_unknown_field": {"a": [1]},
}
CHAT_DEFAULTS = {
    "logprobs": False, "top_logprobs": 0, "add_generation_prompt": True, "continue_final_message": False,
    "chat_template_kwargs": {}, "tools": [], "tool_choice": "none", "parallel_tool_calls": True, "echo": False,
}
TEXT_DEFAULTS = {"echo": False, "add_special_tokens": True, "max_tokens": 16}
