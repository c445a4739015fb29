#include "client/streamed_answer.h"

#include "client/connection.h"

namespace phalanx {
namespace {

double Milliseconds(StreamedAnswer::Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

v1::Choice& ChoiceAt(v1::GenerateResponse& response, int index) {
  for (v1::Choice& choice : *response.mutable_choices()) {
    if (choice.index() == index) return choice;
  }
  v1::Choice& choice = *response.add_choices();
  choice.set_index(index);
  return choice;
}

void AppendCall(const v1::ToolCallDelta& delta, v1::Choice& choice) {
  while (choice.tool_calls_size() <= delta.index()) choice.add_tool_calls();
  v1::ToolCall& call = *choice.mutable_tool_calls(delta.index());
  if (!delta.id().empty()) call.set_id(delta.id());
  if (!delta.name().empty()) call.set_name(delta.name());
  call.mutable_arguments_json()->append(delta.arguments_json());
}

void Append(const v1::StreamResponse& delta, v1::GenerateResponse& response) {
  if (!delta.id().empty()) response.set_id(delta.id());
  if (!delta.request_id().empty()) response.set_request_id(delta.request_id());
  v1::Choice& choice = ChoiceAt(response, delta.index());
  choice.mutable_reasoning_content()->append(delta.reasoning_delta());
  choice.mutable_text()->append(delta.text_delta());
  for (const v1::ToolCallDelta& call : delta.tool_calls()) AppendCall(call, choice);
  choice.mutable_token_ids()->MergeFrom(delta.token_ids());
  choice.mutable_logprobs()->MergeFrom(delta.logprobs());
  if (delta.finish_reason() != v1::FINISH_REASON_UNSPECIFIED)
    choice.set_finish_reason(delta.finish_reason());
  if (!delta.stop_reason().empty()) choice.set_stop_reason(delta.stop_reason());
  response.mutable_prompt_logprobs()->MergeFrom(delta.prompt_logprobs());
  if (delta.has_usage()) *response.mutable_usage() = delta.usage();
  if (delta.has_timings()) *response.mutable_timings() = delta.timings();
}

}  // namespace

double StreamedAnswer::ttft_ms() const {
  return arrivals.empty() ? 0 : Milliseconds(arrivals.front() - sent);
}

double StreamedAnswer::e2el_ms() const {
  return arrivals.empty() ? 0 : Milliseconds(arrivals.back() - sent);
}

int64_t StreamedAnswer::num_tokens() const {
  int64_t tokens = 0;
  for (const v1::Choice& choice : response.choices()) tokens += choice.token_ids_size();
  return tokens;
}

std::optional<double> StreamedAnswer::decode_tokens_per_s() const {
  const double ms = response.timings().decode_ms();
  const int64_t tokens = num_tokens() - response.choices_size();
  if (ms <= 0 || tokens <= 0) return std::nullopt;
  return static_cast<double>(tokens) / ms * 1e3;
}

double StreamedAnswer::received_tokens_per_s() const {
  if (arrivals.size() < 2) return 0;
  const double ms = Milliseconds(arrivals.back() - arrivals.front());
  return ms > 0 ? static_cast<double>(num_tokens() - num_tokens_in_first) / ms * 1e3 : 0;
}

StreamedAnswer ReadStream(const std::function<std::unique_ptr<StreamReader>()>& open,
                          const std::function<void(const v1::StreamResponse&)>& on_delta) {
  StreamedAnswer answer;
  answer.sent = StreamedAnswer::Clock::now();
  const std::unique_ptr<StreamReader> reader = open();
  v1::StreamResponse delta;
  while (reader->Read(&delta)) {
    if (delta.token_ids_size() > 0) {
      if (answer.arrivals.empty()) answer.num_tokens_in_first = delta.token_ids_size();
      answer.arrivals.push_back(StreamedAnswer::Clock::now());
    }
    Append(delta, answer.response);
    on_delta(delta);
  }
  answer.status = FromGrpc(reader->Finish());
  return answer;
}

}  // namespace phalanx
