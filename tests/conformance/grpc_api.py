"""The same requests over gRPC, and what its answers must look like in the words of the HTTP API."""

import json
import pathlib
import sys

import grpc

# Compiles the .proto file when it is imported.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
protos, services = grpc.protos_and_services("phalanx/v1/inference.proto")

SAME_NAME = ("temperature", "top_k", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty",
             "n", "max_tokens", "min_tokens", "ignore_eos", "include_stop_str_in_output", "skip_special_tokens",
             "prompt_logprobs", "echo")
SAME_LIST = ("allowed_token_ids", "bad_words", "stop_token_ids")
REASONS = {protos.FINISH_REASON_STOP: "stop", protos.FINISH_REASON_LENGTH: "length",
           protos.FINISH_REASON_TOOL_CALLS: "tool_calls"}


# ------------------------------------------------------------------------------------ requests


def as_text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def of_response_format(fields: dict):
    match fields.get("type"):
        case "json_schema":
            return protos.StructuredOutputs(json_schema=json.dumps(fields["json_schema"]["schema"]))
        case "json_object":
            return protos.StructuredOutputs(json_object=True)
        case "structural_tag":
            return protos.StructuredOutputs(structural_tag=json.dumps(fields))
    return None


def structured(fields: dict):
    """The constraint of a request in any of its spellings; null where there is none."""
    if (made := of_response_format(fields.get("response_format") or {})) is not None:
        return made
    given = dict(fields.get("structured_outputs") or {})
    given |= {key.removeprefix("guided_"): value for key, value in fields.items() if key.startswith("guided_")}
    for key, value in given.items():
        match key:
            case "json":
                return protos.StructuredOutputs(json_schema=as_text(value))
            case "choice":
                return protos.StructuredOutputs(choice=protos.ChoiceConstraint(choices=value))
            case "json_object" | "regex" | "grammar" | "structural_tag":
                return protos.StructuredOutputs(**{key: value})
    return None


def sampling_of(fields: dict):
    given = {name: value for name, value in fields.items() if value is not None}
    out = protos.SamplingParams(**{name: given[name] for name in (*SAME_NAME, *SAME_LIST) if name in given},
                                structured_outputs=structured(given))
    if given.get("seed", -1) != -1:
        out.seed = given["seed"] % 2**64
    stop = given.get("stop", [])
    out.stop.extend([stop] if isinstance(stop, str) else stop)
    for token, bias in given.get("logit_bias", {}).items():
        out.logit_bias[int(token)] = bias
    if "max_completion_tokens" in given:
        out.max_tokens = given["max_completion_tokens"]
    logprobs = given.get("logprobs")
    if logprobs is True:
        out.logprobs = given.get("top_logprobs", 0)
    elif logprobs is not None and logprobs is not False:
        out.logprobs = logprobs
        if out.echo and not out.HasField("prompt_logprobs"):
            out.prompt_logprobs = logprobs
    return out


def message_of(fields: dict):
    content = fields.get("content") or ""
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content)
    calls = [protos.ToolCall(id=call["id"], name=call["function"]["name"], arguments_json=call["function"]["arguments"])
             for call in fields.get("tool_calls", [])]
    role = "system" if fields["role"] == "developer" else fields["role"]
    return protos.ChatMessage(role=role, content=content, tool_calls=calls, tool_call_id=fields.get("tool_call_id", ""))


def shared(fields: dict) -> dict:
    names = ("priority", "request_id", "cache_salt")
    return {name: fields[name] for name in names if name in fields} | {"sampling": sampling_of(fields)}


def tool_choice(fields: dict):
    """Null where the model decides."""
    match fields.get("tool_choice"):
        case "none":
            return protos.ToolChoice(none=True)
        case "required":
            return protos.ToolChoice(required=True)
        case {"function": {"name": name}}:
            return protos.ToolChoice(function=name)
    return None


def chat_request(fields: dict):
    flags = {name: fields[name] for name in ("add_generation_prompt", "continue_final_message", "parallel_tool_calls")
             if name in fields}
    return protos.ChatRequest(messages=[message_of(message) for message in fields["messages"]],
                              tools_json=[json.dumps(tool) for tool in fields.get("tools", [])],
                              tool_choice=tool_choice(fields), **flags, **shared(fields))


def generate_requests(fields: dict) -> list:
    """One for each prompt."""
    prompt = fields["prompt"]
    if isinstance(prompt, str) or isinstance(prompt[0], int):
        prompt = [prompt]
    return [protos.GenerateRequest(**({"text": one} if isinstance(one, str) else
                                      {"token_ids": protos.TokenIds(ids=one)}), **shared(fields)) for one in prompt]


# ------------------------------------------------------------------------------------- answers


def collect(messages: list):
    """A stream as the whole answer; checks the order that the .proto file promises."""
    whole = protos.GenerateResponse(id=messages[0].id, request_id=messages[0].request_id)
    assert messages[0].HasField("num_prompt_tokens") and messages[0].HasField("cached_tokens"), messages[0]
    whole.prompt_logprobs.extend(messages[0].prompt_logprobs)
    choices: dict[int, protos.Choice] = {}
    for position, message in enumerate(messages):
        choice = choices.setdefault(message.index, protos.Choice(index=message.index))
        assert choice.finish_reason == 0, "nothing comes after a choice's finish reason"
        assert message.HasField("usage") == (position == len(messages) - 1), "usage is the last message's"
        choice.text += message.text_delta
        choice.reasoning_content += message.reasoning_delta
        for delta in message.tool_calls:
            assert bool(delta.id) == bool(delta.name) == (delta.index == len(choice.tool_calls)), delta
            if delta.id:
                choice.tool_calls.add(id=delta.id, name=delta.name)
            assert delta.index == len(choice.tool_calls) - 1, "calls come in order"
            choice.tool_calls[delta.index].arguments_json += delta.arguments_json
        choice.token_ids.extend(message.token_ids)
        choice.logprobs.extend(message.logprobs)
        choice.finish_reason = message.finish_reason
        choice.stop_reason = message.stop_reason
    assert all(choice.finish_reason for choice in choices.values()), "each choice ends"
    whole.choices.extend(choices[index] for index in sorted(choices))
    whole.usage.CopyFrom(messages[-1].usage)
    assert messages[0].num_prompt_tokens == whole.usage.prompt_tokens
    assert messages[0].cached_tokens == whole.usage.cached_tokens
    return whole


def chat_token(token) -> dict:
    return {"token": token.token.decode(errors="replace"), "logprob": token.logprob, "bytes": list(token.token)}


def chat_logprobs(tokens) -> dict:
    return {"content": [{**chat_token(token), "top_logprobs": [chat_token(top) for top in token.top]}
                        for token in tokens]}


def text_logprobs(prompt_tokens, tokens) -> dict:
    out = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    offset = 0
    for position, token in enumerate([*prompt_tokens, *tokens]):
        is_first = position == 0 and len(prompt_tokens) > 0
        shown = token.token.decode(errors="replace")
        top = {shown: token.logprob}
        for other in token.top:
            top.setdefault(other.token.decode(errors="replace"), other.logprob)
        out["tokens"].append(shown)
        out["token_logprobs"].append(None if is_first else token.logprob)
        out["top_logprobs"].append(None if is_first else top)
        out["text_offset"].append(offset)
        offset += len(shown)
    return out


def prompt_logprobs(tokens) -> list:
    def entry(token, rank):
        return {"logprob": token.logprob, "rank": rank or None, "decoded_token": token.token.decode(errors="replace")}

    out = [None]
    for token in tokens[1:]:
        row = {str(token.token_id): entry(token, token.rank)}
        for rank, top in enumerate(token.top, 1):
            row.setdefault(str(top.token_id), entry(top, rank))
        out.append(row)
    return out


def stop_reason(choice, fields: dict):
    stop = fields.get("stop") or []
    if not choice.stop_reason:
        return None
    return choice.stop_reason if choice.stop_reason in stop else int(choice.stop_reason)


def usage(answers: list) -> dict:
    prompt, done, cached = (sum(getattr(answer.usage, name) for answer in answers)
                            for name in ("prompt_tokens", "completion_tokens", "cached_tokens"))
    return {"prompt_tokens": prompt, "completion_tokens": done, "total_tokens": prompt + done,
            "prompt_tokens_details": {"cached_tokens": cached}}


def chat_body(answer, fields: dict, prompt_ids: list[int]) -> dict:
    is_forced = fields.get("tool_choice") not in (None, "none", "auto")
    with_ids = fields.get("return_token_ids")
    choices = []
    for choice in answer.choices:
        assert all(call.id for call in choice.tool_calls), choice
        calls = [{"type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
                 for call in choice.tool_calls]
        thinking = {"reasoning_content": choice.reasoning_content} if choice.reasoning_content else {}
        is_null = not choice.text and (calls or thinking) and not is_forced
        choices.append({
            "index": choice.index,
            "message": {"role": "assistant", **thinking, "content": None if is_null else choice.text, "refusal": None,
                        "tool_calls": calls},
            "logprobs": chat_logprobs(choice.logprobs) if fields.get("logprobs") else None,
            "finish_reason": REASONS[choice.finish_reason],
            "stop_reason": stop_reason(choice, fields),
            **({"token_ids": list(choice.token_ids)} if with_ids else {})})
    return {"choices": choices, "usage": usage([answer]),
            **({"prompt_logprobs": prompt_logprobs(answer.prompt_logprobs)} if "prompt_logprobs" in fields else {}),
            **({"prompt_token_ids": prompt_ids} if with_ids else {})}


def text_body(answers: list, fields: dict, prompt_ids: list[list[int]]) -> dict:
    choices = []
    for position, answer in enumerate(answers):
        echoed = answer.prompt_logprobs if fields.get("echo") else []
        for choice in answer.choices:
            choices.append({
                "index": position * len(answer.choices) + choice.index, "text": choice.text,
                "logprobs": text_logprobs(echoed, choice.logprobs) if fields.get("logprobs") is not None else None,
                "finish_reason": REASONS[choice.finish_reason], "stop_reason": stop_reason(choice, fields),
                "prompt_logprobs": prompt_logprobs(answer.prompt_logprobs) if answer.prompt_logprobs else None,
                **({"token_ids": list(choice.token_ids), "prompt_token_ids": prompt_ids[position]}
                   if fields.get("return_token_ids") else {})})
    return {"choices": choices, "usage": usage(answers)}


class Grpc:
    def __init__(self, address: str):
        self.channel = grpc.insecure_channel(address)
        self.stub = services.InferenceStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def ask(self, path: str, fields: dict, stream: bool) -> dict:
        """The answer as the HTTP endpoint at `path` must give it, without head and ids of calls."""
        if path.endswith("/chat/completions"):
            request = chat_request(fields)
            answer = collect(list(self.stub.ChatStream(request))) if stream else self.stub.Chat(request)
            assert answer.request_id == fields.get("request_id", "")
            ids = self.stub.Tokenize(protos.TokenizeRequest(chat=request)).token_ids
            return chat_body(answer, fields, list(ids))
        requests = generate_requests(fields)
        answers = [collect(list(self.stub.GenerateStream(request))) if stream else self.stub.Generate(request)
                   for request in requests]
        ids = [list(request.token_ids.ids or self.stub.Tokenize(protos.TokenizeRequest(text=request.text)).token_ids)
               for request in requests]
        return text_body(answers, fields, ids)
