#include "coordinator/openai/unsupported.h"

namespace phalanx::openai {
namespace {

Status RefuseAny(const JsonField& field, Call*) { return field.Refuse("nothing: not supported"); }

Status RefuseTrue(const JsonField& field, Call*) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  return value ? field.Refuse("false: not supported") : OkStatus();
}

Status RefuseFalse(const JsonField& field, Call*) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  return value ? OkStatus() : field.Refuse("true: not supported otherwise");
}

Status RefuseNotEmpty(const JsonField& field, Call*) {
  const bool may_be_empty = field.json().is_array() || field.json().is_object();
  if (may_be_empty && field.json().empty()) return OkStatus();
  return field.Refuse("nothing, or an empty one: not supported");
}

// vLLM's -1: as if absent.
Status ReadThinkingBudget(const JsonField& field, Call*) {
  PHALANX_ASSIGN_OR_RETURN(const int32_t value, field.Int32());
  return value == -1 ? OkStatus() : field.Refuse("-1: not supported otherwise");
}

Status ReadModalities(const JsonField& field, Call*) {
  if (field.json() == Json::array({"text"})) return OkStatus();
  return field.Refuse("[\"text\"]");
}

constexpr FieldRow<Call> kRows[] = {
    {"suffix", RefuseAny},
    {"use_beam_search", RefuseTrue},
    {"logits_processors", RefuseNotEmpty},
    {"truncate_prompt_tokens", RefuseAny},
    {"prompt_embeds", RefuseAny},
    {"return_tokens_as_token_ids", RefuseTrue},
    {"spaces_between_special_tokens", RefuseFalse},
    {"logprob_token_ids", RefuseNotEmpty},
    {"repetition_detection", RefuseAny},
    {"thinking_token_budget", ReadThinkingBudget},
    {"watermarking", RefuseTrue},
    // Chat.
    {"functions", RefuseNotEmpty},
    {"function_call", RefuseAny},
    {"audio", RefuseAny},
    {"modalities", ReadModalities},
    {"web_search_options", RefuseAny},
    {"documents", RefuseNotEmpty},
    {"chat_template", RefuseAny},  // only the operator's file, never a client's
    {"mm_processor_kwargs", RefuseNotEmpty},
    {"return_prompt_text", RefuseTrue},
};

}  // namespace

std::span<const FieldRow<Call>> UnsupportedRows() { return kRows; }

}  // namespace phalanx::openai
