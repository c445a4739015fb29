#include "coordinator/core/collect.h"

#include <utility>

namespace phalanx {
namespace {

void AddCalls(v1::StreamResponse* message, v1::Choice* choice) {
  for (v1::ToolCallDelta& delta : *message->mutable_tool_calls()) {
    while (choice->tool_calls_size() <= delta.index()) choice->add_tool_calls();
    v1::ToolCall* call = choice->mutable_tool_calls(delta.index());
    if (!delta.id().empty()) {
      call->set_id(std::move(*delta.mutable_id()));
      call->set_name(std::move(*delta.mutable_name()));
    }
    call->mutable_arguments_json()->append(delta.arguments_json());
  }
}

}  // namespace

void AddMessage(v1::StreamResponse* message, v1::GenerateResponse* response) {
  if (!message->id().empty()) {
    response->set_id(message->id());
    response->set_request_id(message->request_id());
    response->mutable_prompt_logprobs()->Swap(message->mutable_prompt_logprobs());
  }
  while (response->choices_size() <= message->index()) {
    response->add_choices()->set_index(response->choices_size() - 1);
  }
  v1::Choice* choice = response->mutable_choices(message->index());
  choice->mutable_reasoning_content()->append(message->reasoning_delta());
  choice->mutable_text()->append(message->text_delta());
  AddCalls(message, choice);
  choice->mutable_token_ids()->MergeFrom(message->token_ids());
  choice->mutable_logprobs()->MergeFrom(message->logprobs());
  if (message->finish_reason() != v1::FINISH_REASON_UNSPECIFIED) {
    choice->set_finish_reason(message->finish_reason());
    choice->set_stop_reason(message->stop_reason());
  }
  if (message->has_usage()) response->mutable_usage()->Swap(message->mutable_usage());
  if (message->has_timings()) response->mutable_timings()->Swap(message->mutable_timings());
}

}  // namespace phalanx
