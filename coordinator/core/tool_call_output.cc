#include "coordinator/core/tool_call_output.h"

#include <fmt/format.h>

#include <utility>

namespace phalanx {
namespace {

// FNV-1a, 64 bits.
uint64_t Hash(std::string_view text, uint64_t basis) {
  for (const char c : text) basis = (basis ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return basis;
}

}  // namespace

ToolCallOutput::ToolCallOutput(const ToolCallRules& rules, std::string id)
    : parsing_(rules.parsing), choice_(rules.choice), id_(std::move(id)), parser_(rules.limits) {}

void ToolCallOutput::Append(std::string_view text, v1::StreamResponse* message) {
  std::vector<ToolCallEvent> events;
  parser_.Append(text, &events);
  Take(std::move(events), message);
}

void ToolCallOutput::Finish(v1::StreamResponse* message) {
  std::vector<ToolCallEvent> events;
  parser_.Finish(&events);
  Take(std::move(events), message);
}

void ToolCallOutput::Take(std::vector<ToolCallEvent> events, v1::StreamResponse* message) {
  for (ToolCallEvent& event : events) {
    if (event.kind == ToolCallEvent::Kind::kContent) {
      message->mutable_text_delta()->append(event.text);
      continue;
    }
    const bool begins = event.kind == ToolCallEvent::Kind::kName;
    if (begins) ++num_calls_;
    if (parsing_ == ToolParsing::kFirstCall && num_calls_ > 1) continue;
    if (begins) {
      BeginCall(std::move(event.text), message);
    } else {
      AppendArguments(event.text, message);
    }
  }
}

void ToolCallOutput::BeginCall(std::string name, v1::StreamResponse* message) {
  v1::ToolCallDelta* delta = message->add_tool_calls();
  delta->set_index(num_calls_ - 1);
  delta->set_id(CallId(num_calls_ - 1));
  delta->set_name(std::move(name));
}

void ToolCallOutput::AppendArguments(std::string_view arguments,
                                     v1::StreamResponse* message) const {
  const int32_t index = num_calls_ - 1;
  const int32_t last = message->tool_calls_size() - 1;
  v1::ToolCallDelta* delta = last >= 0 && message->tool_calls(last).index() == index
                                 ? message->mutable_tool_calls(last)
                                 : message->add_tool_calls();
  delta->set_index(index);
  delta->mutable_arguments_json()->append(arguments);
}

// Unique to the call, and the same however the answer was cut into messages.
std::string ToolCallOutput::CallId(int32_t call) const {
  constexpr uint64_t kBasis = 0xCBF29CE484222325U;
  const std::string name = fmt::format("{}/{}", id_, call);
  const uint64_t first = Hash(name, kBasis);
  return fmt::format("call_{:016x}{:08x}", first, static_cast<uint32_t>(Hash(name, first) >> 32));
}

// As vLLM, after OpenAI: calls that the client has asked for count as the reason where it left the
// function open and the answer is complete, and not where it named the function.
v1::FinishReason ToolCallOutput::ReasonFor(v1::FinishReason reason) const {
  const bool is_whole = reason == v1::FINISH_REASON_STOP && !parser_.is_within_arguments();
  switch (choice_) {
    case v1::ToolChoice::kFunction:
      return reason;
    case v1::ToolChoice::kRequired:
      return num_calls_ > 0 && is_whole ? v1::FINISH_REASON_TOOL_CALLS : reason;
    default:
      return num_calls_ > 0 && reason != v1::FINISH_REASON_CANCELLED ? v1::FINISH_REASON_TOOL_CALLS
                                                                     : reason;
  }
}

}  // namespace phalanx
