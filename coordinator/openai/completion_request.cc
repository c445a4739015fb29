#include <algorithm>

#include "coordinator/openai/common_fields.h"
#include "coordinator/openai/requests.h"

namespace phalanx::openai {
namespace {

constexpr std::string_view kPromptForms =
    "a string, a list of strings, a list of token ids, or a list of such lists";

Status ReadPrompt(const JsonField& field, v1::GenerateRequest* request) {
  if (field.json().is_string()) {
    request->set_text(field.json().get<std::string>());
    return OkStatus();
  }
  return ReadIds(field, request->mutable_token_ids()->mutable_ids());
}

// The first entry says which form the list has; the others must agree.
Status ReadPrompts(const JsonField& field, CompletionCall* call) {
  const Json& json = field.json();
  const bool is_ids = json.is_array() && !json.empty() && json.front().is_number();
  if (json.is_string() || is_ids) return ReadPrompt(field, &call->requests.emplace_back());
  if (!json.is_array() || json.empty()) return field.Refuse(kPromptForms);
  call->has_prompt_list = true;
  for (size_t i = 0; i < json.size(); ++i) {
    const JsonField prompt = field.At(i);
    const bool same = prompt.json().type() == json.front().type();
    if (!same || !(prompt.json().is_string() || prompt.json().is_array())) {
      return prompt.Refuse("all strings, all token ids, or all lists of token ids");
    }
    PHALANX_RETURN_IF_ERROR(ReadPrompt(prompt, &call->requests.emplace_back()));
  }
  return OkStatus();
}

Status ReadLogprobs(const JsonField& field, CompletionCall* call) {
  PHALANX_ASSIGN_OR_RETURN(const int32_t count, field.Int32());
  call->sampling.set_logprobs(count);
  return OkStatus();
}

Status ReadEcho(const JsonField& field, CompletionCall* call) {
  PHALANX_ASSIGN_OR_RETURN(const bool echo, field.Bool());
  call->sampling.set_echo(echo);
  return OkStatus();
}

Status RefuseFalse(const JsonField& field, CompletionCall*) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  return value ? OkStatus() : field.Refuse("true: prompts without special tokens go as token ids");
}

constexpr FieldRow<CompletionCall> kRows[] = {
    {"prompt", ReadPrompts},
    {"logprobs", ReadLogprobs},
    {"echo", ReadEcho},
    {"add_special_tokens", RefuseFalse},
};

}  // namespace

StatusOr<CompletionCall> ReadCompletion(const Json& body, const ParseContext& context) {
  CompletionCall call;
  call.unknown = &context.unknown;
  const JsonField root("", body);
  PHALANX_RETURN_IF_ERROR(
      ReadFields<CompletionCall>(root, kRows, CommonRows(), context.unknown, &call));
  const JsonField prompt = root.Find("prompt");
  if (prompt.is_null()) return prompt.Refuse(kPromptForms);
  PHALANX_RETURN_IF_ERROR(CheckCommon(call));
  // A longer list could never be admitted as a whole.
  const auto most = static_cast<size_t>(context.limits.max_waiting);
  const auto n = static_cast<size_t>(std::max(call.sampling.n(), 1));
  if (call.requests.size() > 1 && call.requests.size() > most / n) {
    return InvalidField(
        "prompt", fmt::format("{} prompts", call.requests.size()),
        fmt::format("at most {} with n = {}, since {} sequences may wait", most / n, n, most));
  }
  if (call.sampling.echo() && call.sampling.has_logprobs() &&
      !call.sampling.has_prompt_logprobs()) {
    call.sampling.set_prompt_logprobs(call.sampling.logprobs());
  }
  for (v1::GenerateRequest& request : call.requests) FillCommon(call, &request);
  return call;
}

}  // namespace phalanx::openai
