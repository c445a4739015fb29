// Chats as the golden files and the comparing scripts spell them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "text/chat_template.h"

namespace phalanx::testing {

inline ChatRequest ChatRequestFromJson(const nlohmann::json& json) {
  ChatRequest request;
  for (const auto& message_json : json.at("messages")) {
    ChatMessage message;
    message.role = message_json.at("role");
    if (message_json.at("content").is_string()) message.content = message_json.at("content");
    for (const auto& call_json : message_json.value("tool_calls", nlohmann::json::array())) {
      ChatToolCall call;
      call.name = call_json.at("name");
      call.arguments = call_json.at("arguments");
      message.tool_calls.push_back(std::move(call));
    }
    request.messages.push_back(std::move(message));
  }
  for (const auto& tool : json.at("tools")) request.tools.push_back(tool);
  request.generation_prompt =
      json.at("add_generation_prompt") ? GenerationPrompt::kAdd : GenerationPrompt::kOmit;
  return request;
}

}  // namespace phalanx::testing
