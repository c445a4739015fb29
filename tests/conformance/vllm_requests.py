"""What is asked of vLLM and of this service alike, beyond the rows of cases.py and bad_requests.py."""

import dataclasses
import json

import bad_requests
import cases

CHAT, TEXT = cases.CHAT, cases.TEXT
TALK = [{"role": "system", "content": "Be brief."}, *cases.user("Hi. 🙂"),
        {"role": "assistant", "content": "Hello, my"}]
TIME_TOOL = cases.demo_tools.SCHEMAS["get_time"]
GREEDY = {"temperature": 0, "max_tokens": 8}


@dataclasses.dataclass(frozen=True)
class Ask:
    """One request. GET where there are no fields."""

    name: str
    path: str
    fields: object = None
    method: str = "POST"


def is_sampled(fields: dict) -> bool:
    """Whether two good servers may answer with other words."""
    return fields.get("temperature", 0) != 0


def of_cases() -> list[cases.Case]:
    """Good requests; greedy ones say so, because vLLM does not read do_sample of generation_config.json."""
    own = [
        cases.chat("an open end without another opening", continue_final_message=True, add_generation_prompt=False,
                   messages=[*cases.user("What is the capital of France?"),
                             {"role": "assistant", "content": "The capital of France"}]),
        cases.chat("several greedy choices", n=3, logprobs=True, top_logprobs=1, return_token_ids=True),
        cases.chat("an empty system prompt", messages=[{"role": "system", "content": ""}, *cases.user("Hi.")]),
        cases.chat("a stop string", stop=["France"], logprobs=True),
        cases.chat("a stop string that stays", stop=["France"], include_stop_str_in_output=True, return_token_ids=True),
        cases.chat("penalties", presence_penalty=0.5, frequency_penalty=0.5, repetition_penalty=1.1, max_tokens=30),
        cases.chat("a bias", logit_bias={str(cases.FULL_STOP): -100}, max_tokens=20),
        cases.chat("no choice of a tool", tools=[cases.WEATHER_TOOL], tool_choice=None, messages=cases.WEATHER,
                   max_tokens=48),
        cases.chat("tools that nothing asks for", tools=[cases.WEATHER_TOOL, TIME_TOOL], max_tokens=20),
        cases.chat("two tool calls are asked for", tools=[cases.WEATHER_TOOL, TIME_TOOL], max_tokens=96,
                   messages=cases.user("What is the weather in Paris? What time is it in Rome?")),
        cases.chat("a call, and one call at most", tools=[cases.WEATHER_TOOL], parallel_tool_calls=False,
                   messages=cases.WEATHER, max_tokens=48),
        cases.chat("a call that is cut short, where the model decides", tools=[cases.WEATHER_TOOL],
                   messages=cases.WEATHER, max_tokens=8),
        cases.chat("text is asked for", response_format={"type": "text"}),
        cases.chat("a greedy choice", structured_outputs={"choice": ["Paris", "Rome"]}),
        cases.text("a greedy expression", structured_outputs={"regex": r"[a-z]{3} [a-z]{4}"}),
        cases.text("a greedy grammar", structured_outputs={"grammar": cases.SUM}),
        cases.text("a greedy schema", prompt="A pet:", max_tokens=200, structured_outputs={"json": {
            "type": "object", "properties": {"kind": {"enum": ["cat", "dog"]}}, "required": ["kind"],
            "additionalProperties": False}}),
        cases.text("several prompts of all kinds", prompt=["Once upon", "What is it"], n=2, logprobs=2,
                   return_token_ids=True),
        cases.text("several lists of ids with echo", prompt=[[100, 200], [300, 400, 500]], echo=True, max_tokens=4),
        cases.text("one token", max_tokens=1, logprobs=5),
        cases.text("unknown fields", some_unknown_field={"a": [1]}),
    ]
    every = [*cases.CASES, *own]
    return [dataclasses.replace(case, fields={"temperature": 0, **case.fields}) for case in every]


def whole_only() -> list[cases.Case]:
    own = [cases.text("echo with prompt_logprobs", echo=True, prompt_logprobs=1, max_tokens=2)]
    return [dataclasses.replace(case, fields={"temperature": 0, **case.fields}) for case in [*cases.WHOLE_CASES, *own]]


STREAM_OPTIONS = (None, {}, {"include_usage": False}, {"include_usage": True},
                  {"include_usage": True, "continuous_usage_stats": True}, {"continuous_usage_stats": True})

SMALL = [
    Ask("models", "/v1/models", method="GET"),
    Ask("health", "/health", method="GET"),
    Ask("version", "/version", method="GET"),
    Ask("no such path", "/v1/nowhere", method="GET"),
    Ask("no such path to post to", "/v1/nowhere", {}),
    Ask("a method of no endpoint", CHAT, method="GET"),
    *(Ask(f"tokenize {i}", "/tokenize", fields) for i, fields in enumerate((
        {"prompt": "Hello, 🙂!"}, {"prompt": ""}, {"prompt": "Hello", "model": "demo"},
        {"prompt": "é <|im_end|>", "return_token_strs": True}, {"prompt": "Hello", "add_special_tokens": False}))),
    *(Ask(f"tokenize messages {i}", "/tokenize", {"messages": TALK, **fields}) for i, fields in enumerate((
        {}, {"add_generation_prompt": False}, {"continue_final_message": True, "add_generation_prompt": False},
        {"tools": [cases.WEATHER_TOOL]}, {"return_token_strs": True}))),
    *(Ask(f"detokenize {i}", "/detokenize", {"tokens": tokens}) for i, tokens in enumerate((
        [100, 200, 300], [], [cases.END_OF_TURN, 5]))),
    *(Ask(f"another model at {path}", path, {**fields, "model": "gpt-4"})
      for path, fields in bad_requests.GOOD.items()),
    *(Ask(f"a body that is {what} at {path}", path, body) for path in (CHAT, TEXT)
      for what, body in (("no JSON", b"{"), ("empty", b""), ("a list", b"[]"), ("an empty object", b"{}"),
                         ("no UTF-8", b'{"prompt": "\xff"}'))),
]


@dataclasses.dataclass(frozen=True)
class Bad:
    name: str
    path: str
    fields: dict


def own_bad() -> list[Bad]:
    tools = {"tools": [cases.WEATHER_TOOL]}
    chats = [
        {**tools, "tool_choice": cases.named(TIME_TOOL)}, {**tools, "tool_choice": {"type": "function"}},
        {**tools, "tool_choice": {"type": "function", "function": {}}}, {"tool_choice": "required"},
        {"tools": [], "tool_choice": "auto"},
        {"structured_outputs": {"regex": "a", "choice": ["b"]}}, {"structured_outputs": {}},
        {"response_format": {"type": "structural_tag"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
    ]
    texts = [
        {"structured_outputs": {"regex": "("}}, {"structured_outputs": {"grammar": "root ::= missing"}},
        {"structured_outputs": {"choice": []}}, {"structured_outputs": {"json": "{"}},
        {"structured_outputs": {"structural_tag": "{}"}}, {"structured_outputs": {"json": {"type": "no such"}}},
    ]
    return [Bad(f"{json.dumps(fields)[:80]} at {path}", path, {**bad_requests.GOOD[path], **fields})
            for path, all_fields in ((CHAT, chats), (TEXT, texts)) for fields in all_fields]


def of_bad_rows() -> list[Bad]:
    """Each with as short an answer as the row allows: where vLLM accepts it, it answers."""
    out = []
    for bad in bad_requests.of_rows([*bad_requests.RANGES, *bad_requests.JSON_ONLY]):
        field = bad.param.split("[")[0].split(".")[0]
        value = json.dumps(bad.fields.get(field), ensure_ascii=False)
        shown = value if len(value) < 40 else f"{value[:30]}... of {len(value)}"
        short = GREEDY | {"max_tokens": 1} if bad.path in (CHAT, TEXT) else {}
        out.append(Bad(f"{bad.param} {shown} at {bad.path}", bad.path, {**short, **bad.fields}))
    return out
