#include "client/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "client/answer_json.h"
#include "client/answer_printer.h"
#include "client/input.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"

namespace phalanx {

Conversation::Conversation(const ConversationOptions& options, InterruptWatcher& interrupt)
    : options_(options), interrupt_(interrupt), stub_(Connect(options.connection)) {
  *request_.mutable_sampling() = options.sampling;
  request_.set_model(options.model);
  request_.mutable_tools_json()->Add(options.tools_json.begin(), options.tools_json.end());
  SetSystem(options.system);
}

void Conversation::Clear() {
  request_.clear_messages();
  open_calls_.clear();
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
  const int before = request_.messages_size();
  Add("user", question);
  StatusOr<Ending> ending = Send();
  if (request_.messages_size() == before + 1) request_.mutable_messages()->RemoveLast();
  return ending;
}

StatusOr<Conversation::Ending> Conversation::GiveResult(const std::string& result) {
  PHALANX_RETURN_IF_ERROR(CheckUtf8("/result", result));
  if (open_calls_.empty()) return InvalidField("/result", "given", "nothing, since no call waits");
  Add("tool", result).set_tool_call_id(open_calls_.front());
  open_calls_.pop_front();
  return open_calls_.empty() ? Send() : Ending::kWhole;
}

// Sends the history and adds the answer to it, if there is one.
StatusOr<Conversation::Ending> Conversation::Send() {
  grpc::ClientContext context;
  Prepare(context, options_.connection);
  interrupt_.SetCall(&context);
  AnswerPrinter printer;
  const auto open = [&] { return stub_->ChatStream(&context, request_); };
  const StreamedAnswer answer = ReadStream(open, [&](const v1::StreamResponse& delta) {
    if (!options_.json && delta.index() == 0) printer.Print(delta);
  });
  interrupt_.SetCall(nullptr);

  const bool stopped = !answer.status.ok() && interrupt_.cancelled();
  const bool answered = answer.status.ok() || stopped;
  const auto& choices = answer.response.choices();
  const v1::Choice choice = choices.empty() ? v1::Choice() : choices[0];
  if (!options_.json && (printer.has_printed() || answered)) PrintNow("\n");
  // A call that was stopped is none.
  const bool has_calls = answer.status.ok() && !choice.tool_calls().empty();
  if (answer.status.ok() || (stopped && !choice.text().empty())) {
    v1::ChatMessage& message = Add("assistant", choice.text());
    open_calls_.clear();
    if (has_calls) *message.mutable_tool_calls() = choice.tool_calls();
    for (const v1::ToolCall& call : message.tool_calls()) open_calls_.push_back(call.id());
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

v1::ChatMessage& Conversation::Add(const std::string& role, const std::string& content) {
  v1::ChatMessage& message = *request_.add_messages();
  message.set_role(role);
  message.set_content(content);
  return message;
}

}  // namespace phalanx
