#include "coordinator/openai/chat_messages.h"

#include "coordinator/openai/field_table.h"

namespace phalanx::openai {
namespace {

struct MessageTarget {
  v1::ChatMessage* message;
  UnknownFields* unknown;
};

StatusOr<std::string> ReadPart(const JsonField& part, UnknownFields& unknown) {
  // Marks for caches and annotations change no answer.
  constexpr std::string_view kNames[] = {"type", "text", "refusal", "cache_control", "annotations"};
  if (part.json().is_string()) return part.String();
  PHALANX_RETURN_IF_ERROR(part.CheckObject("an object with type text"));
  const JsonField type = part.Find("type");
  PHALANX_ASSIGN_OR_RETURN(const std::string name, type.String());
  const bool is_text = name == "text" || name == "input_text" || name == "output_text";
  if (!is_text && name != "refusal") {
    return type.Refuse("text: the served model takes no images, audio, video or files");
  }
  PHALANX_RETURN_IF_ERROR(CheckNames(part, kNames, unknown));
  return part.Find(is_text ? "text" : "refusal").String();
}

Status ReadContent(const JsonField& field, MessageTarget* target) {
  if (field.json().is_string()) {
    target->message->set_content(field.json().get<std::string>());
    return OkStatus();
  }
  PHALANX_RETURN_IF_ERROR(field.CheckArray("a string or a list of text parts"));
  std::string* content = target->message->mutable_content();
  for (size_t i = 0; i < field.json().size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadPart(field.At(i), *target->unknown));
    if (i > 0) *content += '\n';
    *content += text;
  }
  return OkStatus();
}

Status ReadRole(const JsonField& field, MessageTarget* target) {
  PHALANX_ASSIGN_OR_RETURN(const std::string role, field.String());
  target->message->set_role(role == "developer" ? "system" : role);
  return OkStatus();
}

Status ReadCall(const JsonField& field, v1::ToolCall* call) {
  PHALANX_RETURN_IF_ERROR(field.CheckObject("an object with id, type and function"));
  const JsonField type = field.Find("type");
  if (!type.is_null() && type.json() != "function") return type.Refuse("function");
  const JsonField id = field.Find("id");
  if (!id.is_null()) {
    PHALANX_ASSIGN_OR_RETURN(*call->mutable_id(), id.String());
  }
  const JsonField function = field.Find("function");
  PHALANX_RETURN_IF_ERROR(function.CheckObject("an object with name and arguments"));
  PHALANX_ASSIGN_OR_RETURN(*call->mutable_name(), function.Find("name").String());
  const JsonField arguments = function.Find("arguments");
  if (arguments.json().is_object()) {
    call->set_arguments_json(arguments.json().dump());
  } else if (!arguments.is_null()) {
    PHALANX_ASSIGN_OR_RETURN(*call->mutable_arguments_json(), arguments.String());
  }
  if (call->arguments_json().empty()) call->set_arguments_json("{}");
  return OkStatus();
}

Status ReadToolCalls(const JsonField& field, MessageTarget* target) {
  PHALANX_RETURN_IF_ERROR(field.CheckArray("a list of tool calls"));
  for (size_t i = 0; i < field.json().size(); ++i) {
    PHALANX_RETURN_IF_ERROR(ReadCall(field.At(i), target->message->add_tool_calls()));
  }
  return OkStatus();
}

Status ReadToolCallId(const JsonField& field, MessageTarget* target) {
  PHALANX_ASSIGN_OR_RETURN(*target->message->mutable_tool_call_id(), field.String());
  return OkStatus();
}

Status ReadName(const JsonField& field, MessageTarget* target) {
  PHALANX_ASSIGN_OR_RETURN(*target->message->mutable_name(), field.String());
  return OkStatus();
}

// Answers carry it by either name, and clients send them back.
Status ReadReasoning(const JsonField& field, MessageTarget* target) {
  PHALANX_ASSIGN_OR_RETURN(const std::string text, field.String());
  target->message->set_reasoning_content(text);
  return OkStatus();
}

Status RefuseAny(const JsonField& field, MessageTarget*) {
  return field.Refuse("nothing: not supported");
}

constexpr FieldRow<MessageTarget> kMessageRows[] = {
    {"role", ReadRole},
    {"content", ReadContent},
    {"tool_calls", ReadToolCalls},
    {"tool_call_id", ReadToolCallId},
    {"function_call", RefuseAny},
    {"audio", RefuseAny},
    {"name", ReadName},
    {"reasoning", ReadReasoning},
    {"reasoning_content", ReadReasoning},
    // What an answer carries and clients send back; templates of these models show none of it.
    {"refusal", Accept<MessageTarget>},
    {"annotations", Accept<MessageTarget>},
};

}  // namespace

Status ReadMessages(const JsonField& field, UnknownFields& unknown, v1::ChatRequest* request) {
  PHALANX_RETURN_IF_ERROR(field.CheckArray("a list of messages"));
  for (size_t i = 0; i < field.json().size(); ++i) {
    const JsonField message = field.At(i);
    PHALANX_RETURN_IF_ERROR(message.CheckObject("an object with role and content"));
    MessageTarget target{.message = request->add_messages(), .unknown = &unknown};
    PHALANX_RETURN_IF_ERROR(ReadFields<MessageTarget>(message, kMessageRows, unknown, &target));
    const JsonField role = message.Find("role");
    if (role.is_null()) return role.Refuse("system, user, assistant or tool");
    const JsonField content = message.Find("content");
    if (content.is_null() && target.message->role() != "assistant") {
      return content.Refuse("a string or a list of text parts");
    }
  }
  return OkStatus();
}

Status ReadTemplateVariables(const JsonField& field, v1::ChatRequest* request) {
  PHALANX_RETURN_IF_ERROR(field.CheckObject("an object"));
  if (!field.json().empty()) request->set_chat_template_kwargs_json(field.json().dump());
  return OkStatus();
}

Status ReadTools(const JsonField& field, UnknownFields& unknown, v1::ChatRequest* request) {
  constexpr std::string_view kToolNames[] = {"type", "function"};
  constexpr std::string_view kFunctionNames[] = {"name", "description", "parameters", "strict"};
  PHALANX_RETURN_IF_ERROR(field.CheckArray("a list of tools"));
  for (size_t i = 0; i < field.json().size(); ++i) {
    const JsonField tool = field.At(i);
    PHALANX_RETURN_IF_ERROR(tool.CheckObject("an object with type function"));
    PHALANX_RETURN_IF_ERROR(CheckNames(tool, kToolNames, unknown));
    const JsonField type = tool.Find("type");
    if (type.json() != "function") return type.Refuse("function");
    const JsonField function = tool.Find("function");
    PHALANX_RETURN_IF_ERROR(function.CheckObject("an object with name and parameters"));
    PHALANX_RETURN_IF_ERROR(CheckNames(function, kFunctionNames, unknown));
    const JsonField name = function.Find("name");
    PHALANX_RETURN_IF_ERROR(name.String().status());
    if (name.json().get_ref<const std::string&>().empty()) return name.Refuse("a name");
    const JsonField parameters = function.Find("parameters");
    if (!parameters.is_null()) PHALANX_RETURN_IF_ERROR(parameters.CheckObject("a JSON schema"));
    request->add_tools_json(tool.json().dump());
  }
  return OkStatus();
}

}  // namespace phalanx::openai
