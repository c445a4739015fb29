"""Bad requests as a table: a field, bad values, and who must refuse them. Each value is one request for each endpoint.

RANGES are values of the right type, which gRPC refuses as well; what JSON alone can say follows. A row's `param` is
what HTTP must name, `violation` what gRPC must, where they are not the field's own name.
"""

import dataclasses

import cases

CHAT, TEXT = cases.CHAT, cases.TEXT
GOOD = {CHAT: {"messages": cases.user("Hi.")}, TEXT: {"prompt": "Hi."}, "/tokenize": {"prompt": "Hi."},
        "/detokenize": {"tokens": [1]}}
CONTEXT = 4096  # of the bundled model
VOCAB = 2048

NO_NUMBERS = ("1", True, [], {})
NO_INTEGERS = ("1", True, [], {}, 1.5, 1e30, 2**31)
NO_BOOLS = ("true", 0, 1, [], {})
NO_STRINGS = (5, True, [], {})
NO_LISTS = (5, True, "x", {})
NO_OBJECTS = (5, True, "x", [1])


@dataclasses.dataclass(frozen=True)
class Row:
    field: str
    values: tuple
    paths: tuple[str, ...] = (CHAT, TEXT)
    also: dict = dataclasses.field(default_factory=dict)  # further fields
    param: str = ""
    violation: str = ""  # of gRPC; empty: sampling.FIELD
    says: str = "allowed: "  # a part of the message


@dataclasses.dataclass(frozen=True)
class Bad:
    path: str
    fields: dict
    param: str
    violation: str
    says: str

    def __str__(self) -> str:
        return f"{self.path} {self.fields}"[:200]


RANGES = [
    Row("temperature", (-0.1, -1e-6, 2.01, 1e30, -1e30)),
    Row("top_p", (0, -0.5, 1.001, 1e30)),
    Row("min_p", (-0.001, 1.5, -1e30)),
    Row("top_k", (-2, -1000, -2**31)),
    Row("presence_penalty", (-2.1, 2.1, 1e30)),
    Row("frequency_penalty", (-2.1, 2.1, -1e30)),
    Row("repetition_penalty", (0, -1, 1e-9, 10.1)),
    Row("n", (0, -1, 5, 2**31 - 1)),
    Row("max_tokens", (0, -1, -2**31, CONTEXT, 2**31 - 1)),
    Row("max_completion_tokens", (0, -1, CONTEXT, 2**31 - 1), (CHAT,), violation="sampling.max_tokens"),
    Row("min_tokens", (-1, -2**31)),
    Row("min_tokens", (9, 2**31 - 1), also={"max_tokens": 8}),
    Row("stop", ([""],), param="stop[0]", violation="sampling.stop[0]"),
    Row("stop", (["a", ""],), param="stop[1]", violation="sampling.stop[1]"),
    Row("stop", (["x" * 257],), param="stop[0]", violation="sampling.stop[0]"),
    Row("stop", (list("abcde"), ["a"] * 1000)),
    Row("stop_token_ids", ([-1], [VOCAB], [1, 2**31 - 1], [1] * 257)),
    Row("allowed_token_ids", ([-1], [VOCAB], [1, -2**31])),
    Row("allowed_token_ids", ([cases.END_OF_TURN],), also={"min_tokens": 1, "max_tokens": 2}),
    Row("bad_words", ([""], [" \n"], ["y" * 257]), param="bad_words[0]", violation="sampling.bad_words[0]"),
    Row("bad_words", (["a"] * 129,)),
    Row("logit_bias", ({"-1": 1}, {str(VOCAB): 1}, {"5": 100.5}, {"5": -1e30}, {str(i): 1 for i in range(301)})),
    Row("prompt_logprobs", (-1, 21, 2**31 - 1)),
    Row("logprobs", (-1, 21, 2**31 - 1), (TEXT,)),
    Row("top_logprobs", (-1, 21, 2**31 - 1), (CHAT,), {"logprobs": True}, violation="sampling.logprobs"),
    Row("guided_choice", ([], [""], ["a", "a" * 70000]), violation="sampling.structured_outputs.choice"),
    Row("ignore_eos", (True,), also={"guided_choice": ["a"]}),
    Row("request_id", ("r" * 257,), violation="request_id"),
    Row("cache_salt", ("s" * 257,), violation="cache_salt"),
    Row("prompt", ("",), (TEXT,), violation="prompt.text"),
    Row("prompt", ("word " * CONTEXT,), (TEXT,), violation="prompt"),
    Row("prompt", ("x" * (2**20 + 1),), (TEXT,), violation="prompt.text"),
    Row("prompt", ([-1], [VOCAB], [1, 2**31 - 1]), (TEXT,), violation="prompt.token_ids"),
    Row("prompt", ([1] * CONTEXT,), (TEXT,), violation="prompt"),
    Row("messages", ([], cases.user("Hi.") * 1025, cases.user("x" * (2**20 + 1))), (CHAT,), violation="messages"),
    Row("messages", (cases.user("word " * CONTEXT),), (CHAT,), violation="prompt"),
    Row("messages", ([{"role": "wizard", "content": "x"}], [{"role": "", "content": "x"}]), (CHAT,),
        param="messages[0].role", violation="messages[0].role"),
    Row("messages", ([*cases.user("Hi."), {"role": "assistant", "tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": "{"}}]}],), (CHAT,),
        param="messages[1].tool_calls[0].function.arguments", violation="messages[1].tool_calls[0].arguments_json"),
    Row("continue_final_message", (True,), (CHAT,), {"add_generation_prompt": True},
        violation="continue_final_message"),
    Row("tools", ([cases.WEATHER_TOOL] * 65,), (CHAT,), violation="tools_json"),
]

NUMBERS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
INTEGERS = ("top_k", "n", "max_tokens", "min_tokens", "prompt_logprobs", "best_of", "priority")
BOOLS = ("ignore_eos", "include_stop_str_in_output", "skip_special_tokens", "return_token_ids", "stream")

JSON_ONLY = [
    *(Row(field, NO_NUMBERS) for field in NUMBERS),
    *(Row(field, NO_INTEGERS) for field in INTEGERS),
    *(Row(field, NO_BOOLS) for field in BOOLS),
    *(Row(field, NO_STRINGS) for field in ("request_id", "cache_salt", "user", "model")),
    *(Row(field, NO_LISTS) for field in ("stop_token_ids", "allowed_token_ids", "bad_words", "guided_choice")),
    *(Row(field, NO_OBJECTS) for field in ("logit_bias", "response_format", "structured_outputs")),
    Row("seed", ("7", 1.5, True, [], {}, 2**64, -2**63 - 1)),
    Row("stop", (5, True, {})),
    Row("stop", ([5], [None], [["a"]]), param="stop[0]"),
    Row("stop_token_ids", (["5"], [1.5], [None], [True]), param="stop_token_ids[0]"),
    Row("bad_words", ([5], [None]), param="bad_words[0]"),
    Row("logit_bias", ({"a": 1},), param="logit_bias.a"),
    Row("logit_bias", ({"5": "1"}, {"5": None}, {"5": True}), param="logit_bias.5"),
    Row("cache_salt", ("",)),
    Row("best_of", (2, 0)),
    Row("stream_options", ({}, {"include_usage": True})),
    Row("stream_options", NO_OBJECTS, also={"stream": True}),
    *(Row("stream_options", tuple({option: value} for value in NO_BOOLS), also={"stream": True},
          param=f"stream_options.{option}") for option in ("include_usage", "continuous_usage_stats")),
    Row("prompt_logprobs", (1,), also={"stream": True}),
    Row("response_format", ({"type": "xml"}, {"type": None}, {}), param="response_format.type"),
    Row("response_format", ({"type": "json_schema"}, {"type": "json_schema", "json_schema": []}),
        param="response_format.json_schema"),
    Row("response_format", ({"type": "json_schema", "json_schema": {"name": "x"}},),
        param="response_format.json_schema.schema"),
    Row("guided_json", (5, True, [], "{")),
    Row("guided_regex", NO_STRINGS),
    # What the compiler of grammars refuses, in its own words.
    Row("guided_json", ("[]", '{"items": 5}'), says="subschema"),
    Row("response_format", ({"type": "json_schema", "json_schema": {"schema": {"type": "no such"}}},),
        param="response_format.json_schema.schema", says="no such"),
    Row("response_format", ({"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}},),
        param="response_format.json_schema.schema", says="nowhere"),
    Row("guided_json", ({"type": "array", "uniqueItems": True}, '{"uniqueItems": true}'), says="uniqueItems"),
    Row("guided_regex", ("(", "a)"), says="without its"),
    Row("guided_regex", ("a(?<!b)",), says="ookbehind"),
    Row("guided_regex", ("a{99999}",), says="repetition"),
    Row("guided_regex", (r"\p{L}+", r"[\P{Lu}]"), says="Unicode property"),
    Row("guided_json", ({"type": "number", "exclusiveMinimum": 0.5, "exclusiveMaximum": 0.500001},),
        says="bounds with a number of at most 6 decimals between them"),
    Row("guided_regex", ("(" * 40,)),
    Row("guided_regex", ("a",), also={"guided_choice": ["a"]}),
    Row("suffix", ("x", 5)),
    Row("use_beam_search", (True, 1)),
    Row("logits_processors", (["x"], "x")),
    Row("truncate_prompt_tokens", (5,)),
    Row("prompt_embeds", ("x",)),
    Row("logprob_token_ids", ([5], 5)),
    Row("repetition_detection", ({"max_pattern_size": 3, "min_count": 2},)),
    Row("thinking_token_budget", (0, 100, "x")),
    Row("watermarking", (True, "x")),
    Row("session_id", NO_STRINGS),
    Row("return_prompt_text", (True,), (CHAT,)),
    # Chats.
    Row("messages", (None, 5, "x", {}), (CHAT,)),
    Row("messages", ([5], ["x"], [None]), (CHAT,), param="messages[0]"),
    Row("messages", ([{"content": "x"}], [{"role": None, "content": "x"}], [{"role": 5, "content": "x"}]), (CHAT,),
        param="messages[0].role"),
    Row("messages", ([{"role": "user"}], cases.user(None), cases.user(5), cases.user({})), (CHAT,),
        param="messages[0].content"),
    Row("messages", (cases.user([5]), cases.user([None])), (CHAT,), param="messages[0].content[0]"),
    Row("messages", tuple(cases.user([{"type": kind}]) for kind in
                          ("image_url", "input_audio", "video_url", "file", "no such", None, 5)), (CHAT,),
        param="messages[0].content[0].type"),
    Row("messages", (cases.user([{"type": "text"}]), cases.user([{"type": "text", "text": 5}])), (CHAT,),
        param="messages[0].content[0].text"),
    Row("messages", ([{"role": "assistant", "tool_calls": 5}],), (CHAT,), param="messages[0].tool_calls"),
    Row("messages", ([{"role": "assistant", "tool_calls": [{"function": {}}]}],), (CHAT,),
        param="messages[0].tool_calls[0].function.name"),
    Row("logprobs", NO_BOOLS, (CHAT,)),
    Row("top_logprobs", NO_INTEGERS, (CHAT,), {"logprobs": True}),
    Row("top_logprobs", (3,), (CHAT,)),
    Row("max_completion_tokens", NO_INTEGERS, (CHAT,)),
    Row("add_generation_prompt", NO_BOOLS, (CHAT,)),
    Row("continue_final_message", NO_BOOLS, (CHAT,)),
    Row("parallel_tool_calls", NO_BOOLS, (CHAT,)),
    Row("tools", NO_LISTS, (CHAT,)),
    Row("tools", ([5], ["x"]), (CHAT,), param="tools[0]"),
    Row("tools", ([{}], [{"type": "web_search"}]), (CHAT,), param="tools[0].type"),
    Row("tools", ([{"type": "function"}],), (CHAT,), param="tools[0].function"),
    Row("tools", ([{"type": "function", "function": {}}], [{"type": "function", "function": {"name": ""}}]), (CHAT,),
        param="tools[0].function.name"),
    Row("tool_choice", ("sometimes", 5), (CHAT,), {"tools": [cases.WEATHER_TOOL]}),
    Row("tool_choice", ("auto",), (CHAT,)),
    Row("functions", ([{"name": "f"}],), (CHAT,)),
    Row("chat_template", ("{{ messages }}",), (CHAT,)),
    Row("modalities", (["audio"], "text"), (CHAT,)),
    # Completions.
    Row("prompt", (None, 5, True, {}, []), (TEXT,)),
    Row("prompt", (["a", [1]], [[1], "a"], ["a", 5], ["a", None]), (TEXT,), param="prompt[1]"),
    Row("prompt", ([1, "a"], [1, 1.5], [1, None]), (TEXT,), param="prompt[1]"),
    Row("prompt", (["a", ""], [[1], []], [[1], [VOCAB]], ["a", "word " * CONTEXT]), (TEXT,), param="prompt[1]"),
    Row("prompt", (["a"] * 513,), (TEXT,)),
    Row("logprobs", NO_INTEGERS, (TEXT,)),
    Row("echo", NO_BOOLS, (TEXT,)),
    # The small endpoints.
    Row("prompt", (None, 5, [], {}), ("/tokenize",)),
    Row("prompt", ("x",), ("/tokenize",), {"messages": cases.user("Hi.")}),
    *(Row(field, NO_BOOLS, ("/tokenize",)) for field in ("add_special_tokens", "return_token_strs")),
    Row("messages", ([],), ("/tokenize",), {"prompt": None}),
    Row("messages", ([{"role": "wizard", "content": "x"}],), ("/tokenize",), {"prompt": None},
        param="messages[0].role"),
    Row("tokens", (None, 5, "x", {}, [-1], [10**6]), ("/detokenize",)),
    Row("tokens", (["5"], [1.5], [None]), ("/detokenize",), param="tokens[0]"),
    Row("model", NO_STRINGS, ("/tokenize", "/detokenize")),
]


def of_rows(rows: list[Row]) -> list[Bad]:
    return [Bad(path, {**GOOD[path], **row.also, row.field: value}, row.param or row.field,
                row.violation or f"sampling.{row.field}", row.says)
            for row in rows for value in row.values for path in row.paths]
