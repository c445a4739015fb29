#include "coordinator/openai/chat_format.h"

#include <fmt/format.h>

#include "coordinator/openai/json_writer.h"
#include "coordinator/openai/logprobs.h"

namespace phalanx::openai {
namespace {

constexpr std::string_view kIdPrefix = "chatcmpl-";

// FNV-1a, 64 bits.
uint64_t Hash(std::string_view text, uint64_t basis) {
  for (const char c : text) basis = (basis ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return basis;
}

std::span<const int32_t> Span(const google::protobuf::RepeatedField<int32_t>& ids) {
  return {ids.data(), static_cast<size_t>(ids.size())};
}

}  // namespace

ChatFormat::ChatFormat(const ChatCall& call, const Limits& limits)
    : options_(call.answer),
      tool_parsing_(call.tool_parsing()),
      tool_choice_(call.tool_choice),
      reasoning_(call.reasoning),
      logprobs_(call.logprobs),
      limits_(limits),
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
  while (choices_.size() <= static_cast<size_t>(index)) {
    choices_.emplace_back();
    if (tool_parsing_ != ToolParsing::kOff) choices_.back().parser.emplace(NewParser());
  }
  return choices_[static_cast<size_t>(index)];
}

// Unique to the call, and the same however the answer was cut into messages.
std::string ChatFormat::CallId(int32_t choice, int32_t call) const {
  constexpr uint64_t kBasis = 0xCBF29CE484222325U;
  const std::string name = fmt::format("{}/{}/{}", head_.id, choice, call);
  const uint64_t first = Hash(name, kBasis);
  return fmt::format("call_{:016x}{:08x}", first, static_cast<uint32_t>(Hash(name, first) >> 32));
}

bool ChatFormat::IsForced() const {
  return tool_choice_ == ToolChoice::kRequired || tool_choice_ == ToolChoice::kNamed;
}

// As vLLM, after OpenAI: calls that the client has asked for end with "tool_calls" where it left
// the function open and the answer is complete, and with "stop" where it named the function.
void ChatFormat::AppendReason(v1::FinishReason reason, int32_t num_calls, std::string* out) const {
  const bool is_whole = reason == v1::FINISH_REASON_STOP;
  const bool says_calls =
      tool_choice_ != ToolChoice::kNamed && (tool_choice_ != ToolChoice::kRequired || is_whole);
  if (num_calls > 0 && says_calls) {
    *out += "\"tool_calls\"";
  } else {
    AppendFinishReason(reason, out);
  }
}

std::vector<ToolCallEvent> ChatFormat::Parse(const v1::StreamResponse& message, Choice* choice) {
  std::vector<ToolCallEvent> events;
  if (!choice->parser) {
    if (!message.text_delta().empty()) events.emplace_back().text = message.text_delta();
    return events;
  }
  choice->parser->Append(message.text_delta(), &events);
  if (message.finish_reason() != v1::FINISH_REASON_UNSPECIFIED) choice->parser->Finish(&events);
  if (tool_parsing_ == ToolParsing::kFirstCall) {
    int32_t num_calls = choice->num_calls;
    std::erase_if(events, [&num_calls](const ToolCallEvent& event) {
      return event.kind == ToolCallEvent::Kind::kCall && num_calls++ > 0;
    });
  }
  return events;
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

// The id, type and name first, then the arguments.
void ChatFormat::AppendCallDelta(int32_t index, const ToolCallEvent& event,
                                 const v1::StreamResponse* message, Choice* choice,
                                 std::string* out) {
  const int32_t call = choice->num_calls++;
  const bool opens = !choice->has_role;
  OpenChunk(index, choice, out);
  if (opens) *out += "\"content\":null,";
  *out += "\"tool_calls\":[{\"index\":";
  AppendInt(call, out);
  *out += ",\"id\":";
  AppendJsonString(CallId(index, call), out);
  *out += ",\"type\":\"function\",\"function\":{\"name\":";
  AppendJsonString(event.name, out);
  *out += ",\"arguments\":\"\"}}]";
  CloseChunk(message, *choice, out);

  OpenChunk(index, choice, out);
  *out += "\"tool_calls\":[{\"index\":";
  AppendInt(call, out);
  *out += ",\"function\":{\"arguments\":";
  AppendJsonString(event.arguments, out);
  *out += "}}]";
  CloseChunk(nullptr, *choice, out);
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
  const std::vector<ToolCallEvent> events = Parse(message, &choice);
  const v1::StreamResponse* carried = &message;  // by the first chunk
  if (!message.reasoning_delta().empty() && reasoning_ == ReasoningText::kInclude) {
    AppendTextChunk("reasoning_content", message.reasoning_delta(), index, carried, &choice, out);
    carried = nullptr;
  }
  for (const ToolCallEvent& event : events) {
    if (event.kind == ToolCallEvent::Kind::kCall) {
      AppendCallDelta(index, event, carried, &choice, out);
    } else {
      AppendTextChunk("content", event.text, index, carried, &choice, out);
    }
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
  AppendReason(message.finish_reason(), choice.num_calls, out);
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

void ChatFormat::AppendWholeChoice(const v1::Choice& choice, std::string* out) {
  Choice& state = ChoiceOf(choice.index());
  v1::StreamResponse all;
  all.set_text_delta(choice.text());
  all.set_finish_reason(choice.finish_reason());
  std::string content;
  std::string calls;
  for (const ToolCallEvent& event : Parse(all, &state)) {
    if (event.kind == ToolCallEvent::Kind::kContent) {
      content += event.text;
      continue;
    }
    calls += calls.empty() ? "{\"id\":" : ",{\"id\":";
    AppendJsonString(CallId(choice.index(), state.num_calls++), &calls);
    calls += ",\"type\":\"function\",\"function\":{\"name\":";
    AppendJsonString(event.name, &calls);
    calls += ",\"arguments\":";
    AppendJsonString(event.arguments, &calls);
    calls += "}}";
  }
  *out += "{\"index\":";
  AppendInt(choice.index(), out);
  *out += ",\"message\":{\"role\":\"assistant\",";
  const bool has_reasoning = !choice.reasoning_content().empty();
  if (has_reasoning && reasoning_ == ReasoningText::kInclude) {
    *out += "\"reasoning_content\":";
    AppendJsonString(choice.reasoning_content(), out);
    *out += ',';
  }
  *out += "\"content\":";
  if (content.empty() && (has_reasoning || !calls.empty()) && !IsForced()) {
    *out += "null";
  } else {
    AppendJsonString(content, out);
  }
  *out += ",\"refusal\":null,\"tool_calls\":[" + calls + "]},\"logprobs\":";
  if (logprobs_) {
    AppendChatLogprobs(choice.logprobs(), out);
  } else {
    *out += "null";
  }
  *out += ",\"finish_reason\":";
  AppendReason(choice.finish_reason(), state.num_calls, out);
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
