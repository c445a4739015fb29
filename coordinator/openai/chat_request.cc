#include "coordinator/openai/chat_messages.h"
#include "coordinator/openai/common_fields.h"
#include "coordinator/openai/requests.h"

namespace phalanx::openai {
namespace {

constexpr std::string_view kResponseFormat = "response_format";

Status ReadCallMessages(const JsonField& field, ChatCall* call) {
  return ReadMessages(field, *call->unknown, &call->request);
}

Status ReadCallTools(const JsonField& field, ChatCall* call) {
  return ReadTools(field, *call->unknown, &call->request);
}

Status ReadNamedTool(const JsonField& field, ChatCall* call) {
  constexpr std::string_view kNames[] = {"type", "function"};
  constexpr std::string_view kFunctionNames[] = {"name"};
  PHALANX_RETURN_IF_ERROR(CheckNames(field, kNames, *call->unknown));
  const JsonField type = field.Find("type");
  if (type.json() != "function") return type.Refuse("function");
  const JsonField function = field.Find("function");
  PHALANX_RETURN_IF_ERROR(function.CheckObject("an object with the name of a tool"));
  PHALANX_RETURN_IF_ERROR(CheckNames(function, kFunctionNames, *call->unknown));
  PHALANX_ASSIGN_OR_RETURN(const std::string name, function.Find("name").String());
  call->tool_choice = ToolChoice::kNamed;
  call->request.mutable_tool_choice()->set_function(name);
  return OkStatus();
}

Status ReadToolChoice(const JsonField& field, ChatCall* call) {
  if (field.json().is_object()) return ReadNamedTool(field, call);
  if (field.json() == "none") {
    call->tool_choice = ToolChoice::kNone;
    call->request.mutable_tool_choice()->set_none(true);
  } else if (field.json() == "auto") {
    call->tool_choice = ToolChoice::kAuto;
  } else if (field.json() == "required") {
    call->tool_choice = ToolChoice::kRequired;
    call->request.mutable_tool_choice()->set_required(true);
  } else {
    return field.Refuse("none, auto, required or an object that names a function");
  }
  return OkStatus();
}

Status ReadParallel(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  call->request.set_parallel_tool_calls(value);
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

Status ReadCallVariables(const JsonField& field, ChatCall* call) {
  return ReadTemplateVariables(field, &call->request);
}

Status ReadIncludeReasoning(const JsonField& field, ChatCall* call) {
  PHALANX_ASSIGN_OR_RETURN(const bool included, field.Bool());
  call->reasoning = included ? ReasoningText::kInclude : ReasoningText::kDrop;
  return OkStatus();
}

Status RefuseTrue(const JsonField& field, ChatCall*) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  return value ? field.Refuse("false: not supported") : OkStatus();
}

constexpr FieldRow<ChatCall> kRows[] = {
    {"messages", ReadCallMessages},
    {"tools", ReadCallTools},
    {"tool_choice", ReadToolChoice},
    {"parallel_tool_calls", ReadParallel},
    {"logprobs", ReadLogprobs},
    {"top_logprobs", ReadTopLogprobs},
    {"max_completion_tokens", ReadMaxCompletionTokens},
    {"add_generation_prompt", ReadAddGenerationPrompt},
    {"continue_final_message", ReadContinueFinalMessage},
    {"chat_template_kwargs", ReadCallVariables},
    {"add_special_tokens", RefuseTrue},
    {"echo", RefuseTrue},
    {"include_reasoning", ReadIncludeReasoning},
    // Known, without effect here.
    {"reasoning_effort", Accept<ChatCall>},
    {"verbosity", Accept<ChatCall>},
    {"prediction", Accept<ChatCall>},
};

Status CheckLogprobs(const ChatCall& call) {
  if (!call.top_logprobs || *call.top_logprobs == 0 || call.logprobs) return OkStatus();
  return InvalidField("top_logprobs", *call.top_logprobs, "0, unless logprobs is true");
}

Status CheckToolChoice(const ChatCall& call) {
  const bool needs_tools =
      call.tool_choice != ToolChoice::kUnset && call.tool_choice != ToolChoice::kNone;
  if (!needs_tools || call.request.tools_json_size() > 0) return OkStatus();
  return InvalidField("tool_choice", "given", "none where tools is absent or empty");
}

// A response_format is about content, which an answer of calls alone has none of.
void DropFormatOfCalls(ChatCall* call) {
  const bool is_format = !call->words.empty() && call->words.back().to.starts_with(kResponseFormat);
  if (call->is_forced() && is_format) call->sampling.clear_structured_outputs();
}

}  // namespace

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
  DropFormatOfCalls(&call);
  if (call.logprobs) call.sampling.set_logprobs(call.top_logprobs.value_or(0));
  if (call.max_completion_tokens) call.sampling.set_max_tokens(*call.max_completion_tokens);
  // A message that is continued is not followed by the opening of another. vLLM wants it said.
  if (call.request.continue_final_message() && !call.request.has_add_generation_prompt()) {
    call.request.set_add_generation_prompt(false);
  }
  FillCommon(call, &call.request);
  return call;
}

}  // namespace phalanx::openai
