#include "coordinator/core/collect.h"

namespace phalanx {

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
