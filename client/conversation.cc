#include "client/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "client/answer_json.h"
#include "client/input.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"

namespace phalanx {

Conversation::Conversation(const ConversationOptions& options, InterruptWatcher& interrupt)
    : options_(options), interrupt_(interrupt), stub_(Connect(options.connection)) {
  *request_.mutable_sampling() = options.sampling;
  request_.set_model(options.model);
  SetSystem(options.system);
}

void Conversation::Clear() {
  request_.clear_messages();
  if (!system_.empty()) Add("system", system_);
}

void Conversation::SetSystem(const std::string& text) {
  system_ = text;
  Clear();
}

Status Conversation::SetParam(const std::string& name, const std::string& text) {
  std::string field = name;
  std::replace(field.begin(), field.end(), '-', '_');
  nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (value.is_discarded()) value = text;
  return SetSamplingParam(field, value, *request_.mutable_sampling());
}

StatusOr<Conversation::Ending> Conversation::Ask(const std::string& question) {
  PHALANX_RETURN_IF_ERROR(CheckUtf8("message", question));
  Add("user", question);
  grpc::ClientContext context;
  Prepare(context, options_.connection);
  interrupt_.SetCall(&context);
  bool printed = false;
  const auto open = [&] { return stub_->ChatStream(&context, request_); };
  const StreamedAnswer answer = ReadStream(open, [&](const v1::StreamResponse& delta) {
    if (options_.json || delta.index() != 0) return;
    if (!delta.reasoning_delta().empty()) {
      PrintNow(Coloured(delta.reasoning_delta(), Colour::kDim, stdout));
    }
    PrintNow(delta.text_delta());
    printed = printed || !delta.text_delta().empty() || !delta.reasoning_delta().empty();
  });
  interrupt_.SetCall(nullptr);

  const bool stopped = !answer.status.ok() && interrupt_.cancelled();
  const bool answered = answer.status.ok() || stopped;
  const auto& choices = answer.response.choices();
  const std::string text = choices.empty() ? "" : choices[0].text();
  if (!options_.json && (printed || answered)) PrintNow("\n");
  if (answer.status.ok() || (stopped && !text.empty())) {
    Add("assistant", text);
  } else {
    request_.mutable_messages()->RemoveLast();
  }
  if (!answered) return answer.status;
  if (options_.json) {
    PrintNow(ToLine(ToJson(answer)) + '\n');
  } else {
    PrintSpeed(answer);
  }
  return stopped ? Ending::kStopped : Ending::kWhole;
}

std::string Conversation::AdviceOn(const Status& status) const {
  const v1::SamplingParams& sampling = request_.sampling();
  const bool too_long = status.code() == StatusCode::kInvalidArgument &&
                        (status.field() == "prompt" ||
                         (status.field() == "sampling.max_tokens" && sampling.max_tokens() > 0));
  if (!too_long) return "";
  std::string advice;
  if (request_.messages_size() > 1) advice = "/clear forgets the conversation so far";
  if (!sampling.has_max_tokens()) return advice;
  if (!advice.empty()) advice += "; ";
  return advice + "/set max_tokens N with a smaller N leaves it more room";
}

void Conversation::Add(const std::string& role, const std::string& content) {
  v1::ChatMessage& message = *request_.add_messages();
  message.set_role(role);
  message.set_content(content);
}

}  // namespace phalanx
