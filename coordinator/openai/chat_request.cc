#include "coordinator/openai/chat_messages.h"
#include "coordinator/openai/common_fields.h"
#include "coordinator/openai/requests.h"
#include "coordinator/openai/unsupported.h"

namespace phalanx::openai {
namespace {

Status ReadCallMessages(const JsonField& field, ChatCall* call) {
  return ReadMessages(field, *call->unknown, &call->request);
}

Status ReadCallTools(const JsonField& field, ChatCall* call) {
  return ReadTools(field, &call->request);
}

Status ReadChoice(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(call->tool_choice, ReadToolChoice(field));
  return OkStatus();
}

Status ReadParallel(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(call->parallel_tool_calls, field.Bool());
  return OkStatus();
}

Status ReadLogprobs(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(call->logprobs, field.Bool());
  return OkStatus();
}

Status ReadTopLogprobs(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(call->top_logprobs, field.Int32());
  return OkStatus();
}

Status ReadMaxCompletionTokens(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(call->max_completion_tokens, field.Int32());
  return OkStatus();
}

Status ReadAddGenerationPrompt(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  call->request.set_add_generation_prompt(value);
  return OkStatus();
}

Status ReadContinueFinalMessage(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  call->request.set_continue_final_message(value);
  return OkStatus();
}

// Templates that take variables beyond the messages are the template's to know.
Status ReadTemplateVariables(const JsonField& field, ChatCall*) {
  PHALANX_RETURN_IF_ERROR(field.CheckObject("an object"));
  return field.json().empty() ? OkStatus() : field.Refuse("an empty object: not supported yet");
}

Status RefuseTrue(const JsonField& field, ChatCall*) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  return value ? field.Refuse("false: not supported") : OkStatus();
}

constexpr FieldRow<ChatCall> kRows[] = {
    {"messages", ReadCallMessages},
    {"tools", ReadCallTools},
    {"tool_choice", ReadChoice},
    {"parallel_tool_calls", ReadParallel},
    {"logprobs", ReadLogprobs},
    {"top_logprobs", ReadTopLogprobs},
    {"max_completion_tokens", ReadMaxCompletionTokens},
    {"add_generation_prompt", ReadAddGenerationPrompt},
    {"continue_final_message", ReadContinueFinalMessage},
    {"chat_template_kwargs", ReadTemplateVariables},
    {"add_special_tokens", RefuseTrue},
    {"echo", RefuseTrue},
    // Known, without effect here.
    {"include_reasoning", Accept<ChatCall>},
    {"reasoning_effort", Accept<ChatCall>},
    {"verbosity", Accept<ChatCall>},
    {"prediction", Accept<ChatCall>},
};

Status CheckLogprobs(const ChatCall& call) {
  if (!call.top_logprobs || *call.top_logprobs == 0 || call.logprobs) return OkStatus();
  return InvalidField("top_logprobs", *call.top_logprobs, "0, unless logprobs is true");
}

Status CheckToolChoice(const ChatCall& call) {
  const bool has_tools = call.request.tools_json_size() > 0;
  if (has_tools || call.tool_choice != "auto") return OkStatus();
  return InvalidField("tool_choice", "auto", "none where tools is absent or empty");
}

}  // namespace

ToolParsing ChatCall::tool_parsing() const {
  if (request.tools_json().empty() || tool_choice == "none") return ToolParsing::kOff;
  return parallel_tool_calls ? ToolParsing::kAllCalls : ToolParsing::kFirstCall;
}

StatusOr<ChatCall> ReadChat(const Json& body, const ParseContext& context) {
  ChatCall call;
  call.unknown = &context.unknown;
  const JsonField root("", body);
  PHALANX_RETURN_IF_ERROR(ReadFields<ChatCall>(root, kRows, CommonRows(), context.unknown, &call));
  const JsonField messages = root.Find("messages");
  if (messages.is_null()) return messages.Refuse("a list of messages");
  PHALANX_RETURN_IF_ERROR(CheckCommon(call));
  PHALANX_RETURN_IF_ERROR(CheckLogprobs(call));
  PHALANX_RETURN_IF_ERROR(CheckToolChoice(call));
  if (call.logprobs) call.sampling.set_logprobs(call.top_logprobs.value_or(0));
  if (call.max_completion_tokens) call.sampling.set_max_tokens(*call.max_completion_tokens);
  // vLLM's default: a message that is continued is not followed by the opening of another.
  if (call.request.continue_final_message() && !call.request.has_add_generation_prompt()) {
    call.request.set_add_generation_prompt(false);
  }
  FillCommon(call, &call.request);
  return call;
}

}  // namespace phalanx::openai
