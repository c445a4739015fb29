#include "coordinator/openai/completion_format.h"

#include <algorithm>

#include "coordinator/openai/json_writer.h"

namespace phalanx::openai {
namespace {

constexpr std::string_view kIdPrefix = "cmpl-";
constexpr std::string_view kObject = "text_completion";

}  // namespace

CompletionFormat::CompletionFormat(const CompletionCall& call)
    : options_(call.answer),
      n_(std::max(call.sampling.n(), 1)),
      logprobs_(call.sampling.has_logprobs()),
      echo_(call.sampling.echo()),
      wants_prompt_logprobs_(call.sampling.has_prompt_logprobs()),
      stop_(call.sampling.stop()),
      words_(call.words),
      parts_(call.requests.size()) {}

void CompletionFormat::Begin(AnswerHead head, std::vector<std::vector<int32_t>> prompt_ids) {
  head_ = std::move(head);
  chunk_head_ = "data: {";
  AppendHead(kIdPrefix, kObject, head_, &chunk_head_);
  for (size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].prompt_ids = std::move(prompt_ids[i]);
    parts_[i].choices.resize(static_cast<size_t>(n_));
  }
}

int64_t CompletionFormat::IndexOf(size_t part, int32_t choice) const {
  return static_cast<int64_t>(part) * n_ + choice;
}

void CompletionFormat::AppendTokenIds(const Part& part,
                                      const google::protobuf::RepeatedField<int32_t>& ids,
                                      Choice* choice, std::string* out) const {
  if (!options_.return_token_ids) return;
  *out += ",\"token_ids\":";
  AppendInts({ids.data(), static_cast<size_t>(ids.size())}, out);
  if (choice->has_begun) return;
  *out += ",\"prompt_token_ids\":";
  AppendInts(part.prompt_ids, out);
}

void CompletionFormat::AppendChunkUsage(const Part& part, const Choice& choice,
                                        std::string* out) const {
  if (options_.continuous_usage_stats) {
    *out += ",\"usage\":";
    AppendUsage({part.usage.prompt_tokens, choice.num_tokens, part.usage.cached_tokens}, out);
  } else if (options_.include_usage) {
    *out += ",\"usage\":null";
  }
}

void CompletionFormat::AppendMessage(size_t part_index, const v1::StreamResponse& message,
                                     std::string* out) {
  Part& part = parts_[part_index];
  if (message.has_num_prompt_tokens()) {
    part.usage.prompt_tokens = message.num_prompt_tokens();
    part.usage.cached_tokens = message.cached_tokens();
    part.prompt_logprobs = message.prompt_logprobs();
  }
  Choice& choice = part.choices[static_cast<size_t>(message.index())];
  choice.num_tokens += message.token_ids_size();
  part.usage.completion_tokens += message.token_ids_size();
  if (logprobs_) {
    if (!choice.has_begun && echo_) choice.logprobs.AddPrompt(part.prompt_logprobs);
    choice.logprobs.Add(message.logprobs());
  }
  const bool ends = message.finish_reason() != v1::FINISH_REASON_UNSPECIFIED;
  const bool has_more = !choice.logprobs.empty() || options_.continuous_usage_stats ||
                        (options_.return_token_ids && message.token_ids_size() > 0);
  if (message.text_delta().empty() && !ends && !has_more) return;
  *out += chunk_head_;
  *out += ",\"choices\":[{\"index\":";
  AppendInt(IndexOf(part_index, message.index()), out);
  *out += ",\"text\":\"";
  AppendEscaped(message.text_delta(), out);
  *out += "\",\"logprobs\":";
  if (choice.logprobs.empty()) {
    *out += "null";
  } else {
    choice.logprobs.AppendTo(out);
  }
  *out += ",\"finish_reason\":";
  AppendFinishReason(message.finish_reason(), out);
  *out += ",\"stop_reason\":";
  AppendStopReason(message.stop_reason(), stop_, out);
  AppendTokenIds(part, message.token_ids(), &choice, out);
  *out += "}]";
  AppendChunkUsage(part, choice, out);
  *out += "}\n\n";
  choice.has_begun = true;
}

void CompletionFormat::AppendEnd(std::string* out) {
  if (options_.include_usage) {
    UsageCount sum;
    for (const Part& part : parts_) {
      sum.prompt_tokens += part.usage.prompt_tokens;
      sum.completion_tokens += part.usage.completion_tokens;
      sum.cached_tokens += part.usage.cached_tokens;
    }
    *out += chunk_head_;
    *out += ",\"choices\":[],\"usage\":";
    AppendUsage(sum, out);
    *out += "}\n\n";
  }
  *out += "data: [DONE]\n\n";
}

void CompletionFormat::AppendChoice(size_t part, const v1::Choice& choice,
                                    const TokenLogprobs& prompt_logprobs, std::string* out) {
  *out += "{\"index\":";
  AppendInt(IndexOf(part, choice.index()), out);
  *out += ",\"text\":";
  AppendJsonString(choice.text(), out);
  *out += ",\"logprobs\":";
  if (logprobs_) {
    CompletionLogprobs logprobs;
    if (echo_) logprobs.AddPrompt(prompt_logprobs);
    logprobs.Add(choice.logprobs());
    logprobs.AppendTo(out);
  } else {
    *out += "null";
  }
  *out += ",\"finish_reason\":";
  AppendFinishReason(choice.finish_reason(), out);
  *out += ",\"stop_reason\":";
  AppendStopReason(choice.stop_reason(), stop_, out);
  *out += ",\"prompt_logprobs\":";
  if (wants_prompt_logprobs_) {
    AppendPromptLogprobs(prompt_logprobs, out);
  } else {
    *out += "null";
  }
  Choice fresh;
  AppendTokenIds(parts_[part], choice.token_ids(), &fresh, out);
  *out += '}';
}

std::string CompletionFormat::Whole(std::span<const v1::GenerateResponse> parts) {
  std::string out = "{";
  AppendHead(kIdPrefix, kObject, head_, &out);
  out += ",\"choices\":[";
  UsageCount sum;
  for (size_t part = 0; part < parts.size(); ++part) {
    const v1::GenerateResponse& answer = parts[part];
    for (const v1::Choice& choice : answer.choices()) {
      if (out.back() != '[') out += ',';
      AppendChoice(part, choice, answer.prompt_logprobs(), &out);
    }
    sum.prompt_tokens += answer.usage().prompt_tokens();
    sum.completion_tokens += answer.usage().completion_tokens();
    sum.cached_tokens += answer.usage().cached_tokens();
  }
  out += "],\"usage\":";
  AppendUsage(sum, &out);
  out += '}';
  return out;
}

}  // namespace phalanx::openai
