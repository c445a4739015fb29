#include "client/batch_request.h"

#include <utility>

#include "client/json_integer.h"
#include "client/sampling_flags.h"

namespace phalanx {
namespace {

using Json = nlohmann::json;

Status WrongField(std::string_view field, const Json& value, std::string_view allowed) {
  return InvalidField(field, value.dump(-1, ' ', false, Json::error_handler_t::replace), allowed);
}

Status SetString(std::string_view field, const Json& value, std::string& out) {
  if (value.is_null()) return OkStatus();
  if (!value.is_string()) return WrongField(field, value, "a string");
  out = value.get<std::string>();
  return OkStatus();
}

// OpenAI's form {"id", "function": {"name", "arguments"}}, or the inner object itself.
Status SetToolCall(const Json& json, v1::ToolCall& call) {
  if (!json.is_object()) return WrongField("messages.tool_calls", json, "a list of objects");
  const Json& function = json.contains("function") ? json["function"] : json;
  if (!function.is_object() || !function.contains("name"))
    return WrongField("messages.tool_calls", json, "objects with a function's name");
  PHALANX_RETURN_IF_ERROR(
      SetString("messages.tool_calls.id", json.value("id", Json()), *call.mutable_id()));
  PHALANX_RETURN_IF_ERROR(
      SetString("messages.tool_calls.name", function["name"], *call.mutable_name()));
  const Json arguments = function.value("arguments", Json::object());
  call.set_arguments_json(arguments.is_string() ? arguments.get<std::string>() : arguments.dump());
  return OkStatus();
}

Status SetMessage(const Json& json, v1::ChatMessage& message) {
  if (!json.is_object()) return WrongField("messages", json, "a list of objects");
  for (const auto& [key, value] : json.items()) {
    const std::string field = "messages." + key;
    if (key == "role") {
      PHALANX_RETURN_IF_ERROR(SetString(field, value, *message.mutable_role()));
    } else if (key == "content") {
      PHALANX_RETURN_IF_ERROR(SetString(field, value, *message.mutable_content()));
    } else if (key == "tool_call_id") {
      PHALANX_RETURN_IF_ERROR(SetString(field, value, *message.mutable_tool_call_id()));
    } else if (key == "name") {
      PHALANX_RETURN_IF_ERROR(SetString(field, value, *message.mutable_name()));
    } else if (key == "reasoning_content") {
      if (value.is_null()) continue;
      PHALANX_RETURN_IF_ERROR(SetString(field, value, *message.mutable_reasoning_content()));
    } else if (key == "tool_calls" && value.is_array()) {
      for (const Json& call : value)
        PHALANX_RETURN_IF_ERROR(SetToolCall(call, *message.add_tool_calls()));
    } else if (!value.is_null()) {
      return WrongField(field, value,
                        "role, content, tool_calls, tool_call_id, name, reasoning_content");
    }
  }
  return OkStatus();
}

Status SetIds(const Json& value, v1::GenerateRequest& request) {
  if (!value.is_array()) return WrongField("prompt_ids", value, "a list of token ids");
  for (const Json& id : value) {
    const auto token_id = ToInteger<int32_t>(id);
    if (!token_id) return WrongField("prompt_ids", id, "a list of token ids");
    request.mutable_token_ids()->add_ids(*token_id);
  }
  return OkStatus();
}

// Fields that both kinds have; NOT_FOUND where `key` is none.
template <typename Request>
Status SetCommonField(const std::string& key, const Json& value, Request& request) {
  if (key == "model") return SetString(key, value, *request.mutable_model());
  if (key == "cache_salt") return SetString(key, value, *request.mutable_cache_salt());
  if (key == "priority") {
    const auto priority = ToInteger<int32_t>(value);
    if (!priority) return WrongField(key, value, "an integer of 32 bits");
    request.set_priority(*priority);
    return OkStatus();
  }
  return SetSamplingParam(key, value, *request.mutable_sampling());
}

Status SetField(const std::string& key, const Json& value, v1::GenerateRequest& request) {
  if (key == "prompt") return SetString(key, value, *request.mutable_text());
  if (key == "prompt_ids") return SetIds(value, request);
  return SetCommonField(key, value, request);
}

// As OpenAI's.
Status SetToolChoice(const Json& value, v1::ChatRequest& request) {
  if (value == "auto" || value.is_null()) return OkStatus();
  if (value == "required") {
    request.mutable_tool_choice()->set_required(true);
    return OkStatus();
  }
  if (value == "none") {
    request.mutable_tool_choice()->set_none(true);
    return OkStatus();
  }
  const Json name = value.is_object() && value.contains("function") && value["function"].is_object()
                        ? value["function"].value("name", Json())
                        : Json();
  if (!name.is_string()) {
    return WrongField("tool_choice", value,
                      "none, auto, required or an object that names a function");
  }
  request.mutable_tool_choice()->set_function(name.get<std::string>());
  return OkStatus();
}

Status SetField(const std::string& key, const Json& value, v1::ChatRequest& request) {
  if (key == "messages" || key == "tools") {
    if (!value.is_array()) return WrongField(key, value, "a list");
    for (const Json& item : value) {
      if (key == "tools") {
        request.add_tools_json(item.dump());
      } else {
        PHALANX_RETURN_IF_ERROR(SetMessage(item, *request.add_messages()));
      }
    }
    return OkStatus();
  }
  if (key == "add_generation_prompt" || key == "continue_final_message" ||
      key == "parallel_tool_calls") {
    if (!value.is_boolean()) return WrongField(key, value, "true or false");
    if (key == "add_generation_prompt") request.set_add_generation_prompt(value.get<bool>());
    if (key == "continue_final_message") request.set_continue_final_message(value.get<bool>());
    if (key == "parallel_tool_calls") request.set_parallel_tool_calls(value.get<bool>());
    return OkStatus();
  }
  if (key == "tool_choice") return SetToolChoice(value, request);
  if (key == "chat_template_kwargs") {
    if (!value.is_object()) return WrongField(key, value, "an object");
    request.set_chat_template_kwargs_json(value.dump());
    return OkStatus();
  }
  return SetCommonField(key, value, request);
}

template <typename Request>
StatusOr<BatchRequest> Parse(const Json& line, const v1::SamplingParams& defaults) {
  Request request;
  *request.mutable_sampling() = defaults;
  for (const auto& [key, value] : line.items()) {
    if (key == "id") continue;
    const Status status = SetField(key, value, request);
    if (status.code() == StatusCode::kNotFound)
      return InvalidArgumentError("{}: no such field in a batch line", key).WithField(key);
    PHALANX_RETURN_IF_ERROR(status);
  }
  return BatchRequest(std::move(request));
}

}  // namespace

StatusOr<BatchRequest> ParseBatchRequest(const Json& line, const v1::SamplingParams& defaults) {
  if (!line.is_object()) return InvalidArgumentError("line: is no JSON object");
  const auto num_inputs = line.count("prompt") + line.count("prompt_ids") + line.count("messages");
  if (num_inputs != 1)
    return InvalidArgumentError("prompt: exactly one of prompt, prompt_ids, messages is allowed")
        .WithField("prompt");
  return line.contains("messages") ? Parse<v1::ChatRequest>(line, defaults)
                                   : Parse<v1::GenerateRequest>(line, defaults);
}

}  // namespace phalanx
