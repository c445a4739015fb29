"""How this service's answers differ from vLLM's on purpose, each with its reason. Any other difference is a fault.

A row that nothing needs any more is one, too: it would hide what comes next.
"""

import dataclasses
import re

from differences import OURS_ALONE, THEIRS_ALONE, THEIRS_IS_NULL, Difference


@dataclasses.dataclass(frozen=True)
class Row:
    # Regular expressions of all of it.
    view: str  # whole, stream, chunk, order, small, error or status
    path: str  # the difference's
    reason: str
    kind: str = ""  # empty: any
    requests: str = ""  # regular expression of a part of the request's name; empty: any
    says: str = ""  # likewise of what the difference says: "ours ..., theirs ..."
    comes_and_goes: bool = False  # by chance in vLLM's answers: needed or not

    def explains(self, request: str, view: str, difference: Difference) -> bool:
        return (re.fullmatch(self.view, view) is not None and re.fullmatch(self.path, difference.path) is not None and
                self.kind in ("", difference.kind) and re.search(self.requests, request) is not None and
                re.search(self.says, str(difference)) is not None)


# ------------------------------------------------------------------------------------- answers

NOTHING_TO_SAY = "a key without a meaning here is left out, as OpenAI's API allows"
PARTS = "tokens that are parts of a character are their bytes; vLLM shows them as empty"
ECHO_ALONE = "max_tokens 0 generates nothing; vLLM generates a token and counts it"

ANSWERS = [
    *(Row("whole", path, NOTHING_TO_SAY, THEIRS_IS_NULL) for path in (
        r"choices\[\]\.message\.(annotations|audio|function_call|reasoning)", r"choices\[\]\.routed_experts",
        r"(ec|kv)_transfer_params", "metrics", "prompt_text", "service_tier",
        r"usage\.prompt_tokens_details\.(created_cache|multimodal)_tokens")),
    Row("whole|chunk", r"(\w+\.)?usage\.completion_tokens_details", NOTHING_TO_SAY, THEIRS_IS_NULL),
    *(Row("whole|chunk", path, "what was not asked for is left out", THEIRS_IS_NULL) for path in (
        r"(\w+\.)?choices\[\]\.(prompt_)?token_ids", r"(choice\.)?prompt_token_ids", "prompt_logprobs",
        r"choice\.prompt_text")),
    Row("whole|stream|chunk", r".*\.created_cache_tokens", "vLLM's own count; OpenAI's API has none", THEIRS_ALONE),
    Row("whole", r"choices\[\]\.message\.tool_calls", "always a list, so that a client can go through it", OURS_ALONE),
    Row("whole|stream", r"choices\[\](\.message)?\.tool_calls\[\]\.id", "call_ begins the id of a call in OpenAI's API",
        says="ours 'call_', theirs 'chatcmpl-'"),
    Row("whole|stream", r"choices\[\](\.message)?\.role", "an answer is the assistant's; vLLM takes the last message's",
        requests="no generation prompt", says="ours 'assistant', theirs 'user'"),
    Row("whole|stream|chunk", r"(\w+\.)?choices\[\]\.stop_reason",
        "null where the model ended its answer, by any of its tokens for that; vLLM names those after the first",
        says="ours None, theirs 2043$"),
    Row("whole|stream", r"choices\[\]\.logprobs\.content\[\]\.top_logprobs\[\]\.(token|bytes)", PARTS,
        says=r"theirs (''|\[\])$"),
    Row("whole|stream", r"choices\[\]\.logprobs\.top_logprobs\[\]\{\}", PARTS, says=r"ours \{'\ufffd+'|theirs \{''"),
    Row("whole", r"(choices\[\]\.)?prompt_logprobs\[\]\{\}\.rank",
        "null beyond the 20 most likely tokens, which is as far as ranks are counted", says="ours None"),
    Row("whole|stream", r"usage\.(completion|total)_tokens", ECHO_ALONE, requests="echo alone"),
    Row("stream|chunk", r"(\w+\.)?choices\[\]\.prompt_token_ids", "nobody asked for them; vLLM sends them with echo",
        THEIRS_ALONE, "echo|characters in parts"),
    Row("whole", r"choices\[\]\.finish_reason", "null counts as absent; vLLM finds the call and says stop",
        requests="no choice of a tool"),
    Row("whole|stream", r"choices\[\]\.(text|finish_reason)|usage\.(completion|total)_tokens",
        "a run of white space between JSON's tokens is at most 32 characters long", requests="a greedy schema"),
    # Streams.
    Row("stream", "error", "several prompts are echoed with logprobs; vLLM fails at times",
        requests="echo of several choices", comes_and_goes=True),
    Row("chunk", r"\w+\.system_fingerprint", "each chunk has it, as in OpenAI's API", OURS_ALONE),
    Row("chunk", r"choice\.usage", "null before the last chunk, as OpenAI's API has it", OURS_ALONE),
    Row("chunk", r"choice\.usage\.prompt_tokens_details", "continuous usage is as detailed as the last one",
        OURS_ALONE),
    Row("stream|order", r"choices\[\]\.content|choice 0", "text that is no call after all is content; vLLM drops it",
        requests="a call that is cut short"),
    # The small endpoints.
    Row("small", r"data\[\]\.(owned_by|permission|root)", "the owner is another, and no path of the host is shown"),
    Row("small", "version", "each has its own"),
]

# ------------------------------------------------------------------------------ what is refused

IGNORED = "would change the answer and is not built: refused by name; vLLM ignores it"
A_LIMIT = "a limit of this service's"

# A value of another type that can be read as one of the field's: "1" for 1, true for 1, 0 for false.
CONVERTED = r"(\"(1|7|true)\"|true|0|1|\[(\"5\"|true)\]|\{\"5\": (\"1\"|true)\})"
REALLY_TRUE = "(ignore_eos|return_prompt_text|use_beam_search) true"

REFUSED_HERE_ALONE = [
    Row("status", "400 against 200", "types are strict; vLLM converts text, booleans and numbers",
        requests=rf"^(?!{REALLY_TRUE})[\w.\[\]]+ {CONVERTED} at "),
    Row("status", "400 against 200", "types are strict, of options, too", requests=r"^stream_options\.\w+ \{"),
    Row("status", "400 against 200", "32 bits", requests=r"^\w+ 2147483648 at "),
    Row("status", "400 against 200", A_LIMIT, requests=(
        r"^(repetition_penalty (1e-09|10\.1)|stop\[0\] \[\"x+\.\.\.|stop_token_ids \[1, 1|bad_words(\[0\] \[\"y+\.\.\.|"
        r" \[\"a\", \"a\")|logit_bias \{\"(5\": (100\.5|-1e\+30)|0\": 1, )|request_id \"r+\.\.\.|"
        r"prompt \[\"a\", \"a\")")),
    Row("status", "400 against 200", "what can never fit into the context is refused; vLLM cuts it down",
        requests=r"^max_(completion_)?tokens 4096 at "),
    Row("status", "400 against 200", "no token can be chosen", requests=r"^allowed_token_ids \[2045\] at "),
    Row("status", "400 against 200", "contradicts structured output, which ends with the end of sequence",
        requests="^ignore_eos true at "),
    Row("status", "400 against 200", IGNORED, requests=(
        r"^(best_of|functions|guided_\w+|logits_processors|modalities|prompt_embeds|suffix)\b")),
    Row("status", "400 against 200", "vLLM has it and this service has not: refused by name",
        requests="^(repetition_detection|return_prompt_text|truncate_prompt_tokens|use_beam_search true)"),
    Row("status", "400 against 200", "a message of a user says something, and by a role that templates know",
        requests=r"^messages\[0\]\.(role|content) "),
    Row("status", "400 against 200", "a tool without a name cannot be called",
        requests=r"^tools\[0\]\.function\.name "),
    Row("status", "400 against 200", "without a stream there is nothing to say about it, not even an empty object",
        requests=r"^stream_options \{\} "),
    Row("status", "400 against 200", "one of the two; vLLM drops the prompt", requests="^prompt \"x\" at /tokenize"),
    Row("status", "400 against 200", "an id that stands for nothing; vLLM drops it",
        requests="^tokens .* at /detokenize"),
    Row("status", "400 against 500", "a bad request is no fault of the server", requests="^structured_outputs "),
]

ACCEPTED_HERE_ALONE = [
    Row("status", "200 against 400", "a message that is continued is not followed by the opening of another; vLLM wants "
        "that said, too", requests="^chat: continue_final_message$"),
    Row("status", "200 against 400", "seeds have 64 bits, and none for a sign", requests="a seed of 64 bits"),
    Row("status", "200 against 400", "several greedy choices are equal, and no fault",
        requests="several greedy choices|several prompts of all kinds"),
]

WHOLE_FIELD = "the field of the request is named; vLLM names its own count of it"

ERRORS = [
    Row("error", r"error\.type", "one name for all of them; vLLM has two, by who finds the fault",
        says="ours 'BadRequestError', theirs 'Bad Request'"),
    Row("error", r"error\.param", "the field is always named", OURS_ALONE),
    Row("error", r"error\.param", "no field is to blame for a body that is none", THEIRS_ALONE, "^a body that is "),
    Row("error", "", "every error has OpenAI's shape; vLLM leaves some to its framework",
        requests="no such path|a method of no endpoint|a body that is no UTF-8"),
    Row("error", r"error\.param", "the field that was sent; vLLM names the one that it means inside",
        requests="^(max_completion_tokens|top_logprobs) "),
    Row("error", r"error\.param", WHOLE_FIELD, requests=r"^(prompt|messages|tools) .* of \d+ at "),
    Row("error", r"error\.param", "without vLLM's own class names, which stand in its path of a message's fields",
        requests=r"^messages\[\d\]\.(role|content|tool_calls)"),
    Row("error", r"error\.param", "a schema needs no name here", requests='"json_schema"|json_schema'),
    Row("error", r"error\.param", "the entry that does not fit the first one; vLLM names the first",
        requests=r"^prompt\[1\] "),
    Row("error", r"error\.param", "of two faults another is named",
        requests=r'^tools\[0\]\.type \[\{\}\]|"tools": \[\]'),
]

TOOL_CALLS = [
    Row("whole", r"choices\[\]\.message\.content",
        "a forced call cut short in its arguments is a call, whole as streamed; vLLM's whole answer shows it as text",
        requests="arguments are cut short"),
]

DELIBERATE = [*ANSWERS, *TOOL_CALLS, *REFUSED_HERE_ALONE, *ACCEPTED_HERE_ALONE, *ERRORS]
