#include "coordinator/openai/chat_format.h"

#include "coordinator/openai/json_writer.h"
#include "coordinator/openai/logprobs.h"

namespace phalanx::openai {
namespace {

constexpr std::string_view kIdPrefix = "chatcmpl-";

std::span<const int32_t> Span(const google::protobuf::RepeatedField<int32_t>& ids) {
  return {ids.data(), static_cast<size_t>(ids.size())};
}

}  // namespace

ChatFormat::ChatFormat(const ChatCall& call)
    : options_(call.answer),
      is_forced_(call.is_forced()),
      reasoning_(call.reasoning),
      logprobs_(call.logprobs),
      stop_(call.sampling.stop()),
      words_{{"prompt", "messages"}, {"sampling.logprobs", "top_logprobs"}} {
  words_.insert(words_.end(), call.words.begin(), call.words.end());
  if (call.max_completion_tokens) {
    words_.push_back({"sampling.max_tokens", "max_completion_tokens"});
  }
}

void ChatFormat::Begin(AnswerHead head, std::vector<std::vector<int32_t>> prompt_ids) {
  head_ = std::move(head);
  prompt_ids_ = std::move(prompt_ids.front());
  chunk_head_ = "data: {";
  AppendHead(kIdPrefix, "chat.completion.chunk", head_, &chunk_head_);
}

ChatFormat::Choice& ChatFormat::ChoiceOf(int32_t index) {
  while (choices_.size() <= static_cast<size_t>(index)) choices_.emplace_back();
  return choices_[static_cast<size_t>(index)];
}

// ------------------------------------------------------------------------------------- chunks

// Up to and including the delta's opening brace, and the role in the first one.
void ChatFormat::OpenChunk(int32_t index, Choice* choice, std::string* out) {
  *out += chunk_head_;
  if (options_.return_token_ids && !has_sent_prompt_ids_) {
    *out += ",\"prompt_token_ids\":";
    AppendInts(prompt_ids_, out);
    has_sent_prompt_ids_ = true;
  }
  *out += ",\"choices\":[{\"index\":";
  AppendInt(index, out);
  *out += ",\"delta\":{";
  if (choice->has_role) return;
  *out += "\"role\":\"assistant\",";
  choice->has_role = true;
}

// From the delta's closing brace on, for a chunk without a finish reason. `message`: whose tokens
// the chunk carries, null where an earlier chunk of the same message did.
void ChatFormat::CloseChunk(const v1::StreamResponse* message, const Choice& choice,
                            std::string* out) {
  *out += "},\"logprobs\":";
  if (logprobs_ && message != nullptr && message->logprobs_size() > 0) {
    AppendChatLogprobs(message->logprobs(), out);
  } else {
    *out += "null";
  }
  *out += ",\"finish_reason\":null";
  if (options_.return_token_ids) {
    *out += ",\"token_ids\":";
    AppendInts(message != nullptr ? Span(message->token_ids()) : std::span<const int32_t>(), out);
  }
  *out += "}]";
  if (options_.continuous_usage_stats) {
    *out += ",\"usage\":";
    AppendUsage({usage_.prompt_tokens, choice.num_tokens, usage_.cached_tokens}, out);
  } else if (options_.include_usage) {
    *out += ",\"usage\":null";
  }
  *out += "}\n\n";
}

void ChatFormat::AppendTextChunk(std::string_view key, std::string_view text, int32_t index,
                                 const v1::StreamResponse* message, Choice* choice,
                                 std::string* out) {
  OpenChunk(index, choice, out);
  AppendJsonString(key, out);
  *out += ':';
  AppendJsonString(text, out);
  CloseChunk(message, *choice, out);
}

// The id, type and name first, then arguments.
void ChatFormat::AppendCallDelta(int32_t index, const v1::ToolCallDelta& delta,
                                 const v1::StreamResponse* message, Choice* choice,
                                 std::string* out) {
  const auto open = [&] {
    const bool opens = !choice->has_role;
    OpenChunk(index, choice, out);
    if (opens) *out += "\"content\":null,";
    *out += "\"tool_calls\":[{\"index\":";
    AppendInt(delta.index(), out);
  };
  if (!delta.id().empty()) {
    open();
    *out += ",\"id\":";
    AppendJsonString(delta.id(), out);
    *out += ",\"type\":\"function\",\"function\":{\"name\":";
    AppendJsonString(delta.name(), out);
    *out += ",\"arguments\":\"\"}}]";
    CloseChunk(message, *choice, out);
    message = nullptr;
  }
  if (delta.arguments_json().empty()) return;
  open();
  *out += ",\"function\":{\"arguments\":";
  AppendJsonString(delta.arguments_json(), out);
  *out += "}}]";
  CloseChunk(message, *choice, out);
}

void ChatFormat::AppendMessage(size_t, const v1::StreamResponse& message, std::string* out) {
  if (message.has_num_prompt_tokens()) {
    usage_.prompt_tokens = message.num_prompt_tokens();
    usage_.cached_tokens = message.cached_tokens();
  }
  const int32_t index = message.index();
  Choice& choice = ChoiceOf(index);
  choice.num_tokens += message.token_ids_size();
  usage_.completion_tokens += message.token_ids_size();
  const v1::StreamResponse* carried = &message;  // by the first chunk
  if (!message.reasoning_delta().empty() && reasoning_ == ReasoningText::kInclude) {
    AppendTextChunk("reasoning_content", message.reasoning_delta(), index, carried, &choice, out);
    carried = nullptr;
  }
  if (!message.text_delta().empty()) {
    AppendTextChunk("content", message.text_delta(), index, carried, &choice, out);
    carried = nullptr;
  }
  for (const v1::ToolCallDelta& delta : message.tool_calls()) {
    AppendCallDelta(index, delta, carried, &choice, out);
    carried = nullptr;
  }
  const bool has_more = (logprobs_ && message.logprobs_size() > 0) ||
                        (options_.return_token_ids && message.token_ids_size() > 0) ||
                        options_.continuous_usage_stats;
  if (carried != nullptr && (!choice.has_role || has_more)) {
    AppendTextChunk("content", "", index, carried, &choice, out);
  }
  if (message.finish_reason() == v1::FINISH_REASON_UNSPECIFIED) return;
  OpenChunk(index, &choice, out);
  *out += "},\"logprobs\":null,\"finish_reason\":";
  AppendFinishReason(message.finish_reason(), out);
  *out += ",\"stop_reason\":";
  AppendStopReason(message.stop_reason(), stop_, out);
  *out += "}]";
  if (options_.continuous_usage_stats) {
    *out += ",\"usage\":";
    AppendUsage({usage_.prompt_tokens, choice.num_tokens, usage_.cached_tokens}, out);
  } else if (options_.include_usage) {
    *out += ",\"usage\":null";
  }
  *out += "}\n\n";
}

void ChatFormat::AppendEnd(std::string* out) {
  if (options_.include_usage) {
    *out += chunk_head_;
    *out += ",\"choices\":[],\"usage\":";
    AppendUsage(usage_, out);
    *out += "}\n\n";
  }
  *out += "data: [DONE]\n\n";
}

// -------------------------------------------------------------------------------------- whole

void ChatFormat::AppendMessageOf(const v1::Choice& choice, std::string* out) const {
  *out += "{\"role\":\"assistant\",";
  const bool has_reasoning = !choice.reasoning_content().empty();
  if (has_reasoning && reasoning_ == ReasoningText::kInclude) {
    *out += "\"reasoning_content\":";
    AppendJsonString(choice.reasoning_content(), out);
    *out += ',';
  }
  *out += "\"content\":";
  const bool has_else = has_reasoning || !choice.tool_calls().empty();
  if (choice.text().empty() && has_else && !is_forced_) {
    *out += "null";
  } else {
    AppendJsonString(choice.text(), out);
  }
  *out += ",\"refusal\":null,\"tool_calls\":[";
  for (int i = 0; i < choice.tool_calls_size(); ++i) {
    const v1::ToolCall& call = choice.tool_calls(i);
    *out += i == 0 ? "{\"id\":" : ",{\"id\":";
    AppendJsonString(call.id(), out);
    *out += ",\"type\":\"function\",\"function\":{\"name\":";
    AppendJsonString(call.name(), out);
    *out += ",\"arguments\":";
    AppendJsonString(call.arguments_json(), out);
    *out += "}}";
  }
  *out += "]}";
}

void ChatFormat::AppendWholeChoice(const v1::Choice& choice, std::string* out) const {
  *out += "{\"index\":";
  AppendInt(choice.index(), out);
  *out += ",\"message\":";
  AppendMessageOf(choice, out);
  *out += ",\"logprobs\":";
  if (logprobs_) {
    AppendChatLogprobs(choice.logprobs(), out);
  } else {
    *out += "null";
  }
  *out += ",\"finish_reason\":";
  AppendFinishReason(choice.finish_reason(), out);
  *out += ",\"stop_reason\":";
  AppendStopReason(choice.stop_reason(), stop_, out);
  if (options_.return_token_ids) {
    *out += ",\"token_ids\":";
    AppendInts(Span(choice.token_ids()), out);
  }
  *out += '}';
}

std::string ChatFormat::Whole(std::span<const v1::GenerateResponse> parts) {
  const v1::GenerateResponse& answer = parts.front();
  std::string out = "{";
  AppendHead(kIdPrefix, "chat.completion", head_, &out);
  out += ",\"choices\":[";
  for (int i = 0; i < answer.choices_size(); ++i) {
    if (i > 0) out += ',';
    AppendWholeChoice(answer.choices(i), &out);
  }
  out += "],\"usage\":";
  AppendUsage({answer.usage().prompt_tokens(), answer.usage().completion_tokens(),
               answer.usage().cached_tokens()},
              &out);
  if (!answer.prompt_logprobs().empty()) {
    out += ",\"prompt_logprobs\":";
    AppendPromptLogprobs(answer.prompt_logprobs(), &out);
  }
  if (options_.return_token_ids) {
    out += ",\"prompt_token_ids\":";
    AppendInts(prompt_ids_, &out);
  }
  out += '}';
  return out;
}

}  // namespace phalanx::openai
