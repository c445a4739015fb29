#include "text/chat_renderers.h"

#include <string_view>

#include "text/python_json.h"

namespace phalanx {
namespace {

constexpr std::string_view kEnd = "<|im_end|>\n";

std::string MessageField(size_t index, std::string_view name) {
  return fmt::format("messages[{}].{}", index, name);
}

StatusOr<std::string> Content(const ChatRequest& request, size_t index) {
  const std::optional<std::string>& content = request.messages[index].content;
  if (!content) return InvalidField(MessageField(index, "content"), "null", "a string");
  return *content;
}

// A template skips a message whose role it does not know; a client should hear of it instead.
Status UnknownRole(const ChatRequest& request, size_t index) {
  return InvalidField(MessageField(index, "role"), request.messages[index].role,
                      "system, user, assistant or tool");
}

Status CheckNotEmpty(const ChatRequest& request) {
  if (!request.messages.empty()) return OkStatus();
  return InvalidField("messages", "empty", "at least one message");
}

// A ChatML message in one piece.
void AppendMessage(std::string_view role, std::string_view content, std::string* out) {
  out->append("<|im_start|>").append(role).append("\n").append(content).append(kEnd);
}

Status AppendQwenToolCalls(const ChatRequest& request, size_t index, std::string* out) {
  const ChatMessage& message = request.messages[index];
  *out += "<|im_start|>" + message.role;
  if (message.content && !message.content->empty()) *out += "\n" + *message.content;
  for (size_t i = 0; i < message.tool_calls.size(); ++i) {
    const ChatToolCall& call = message.tool_calls[i];
    const std::string field =
        MessageField(index, fmt::format("tool_calls[{}].function.arguments", i));
    PHALANX_ASSIGN_OR_RETURN(
        const std::string arguments,
        ToPythonJson(field, call.arguments.empty() ? "{}" : std::string_view(call.arguments)));
    *out += "\n<tool_call>\n{\"name\": \"" + call.name + "\", \"arguments\": " + arguments +
            "}\n</tool_call>";
  }
  *out += kEnd;
  return OkStatus();
}

// Answers of tools that follow each other share one user turn.
Status AppendQwenToolAnswer(const ChatRequest& request, size_t index, std::string* out) {
  PHALANX_ASSIGN_OR_RETURN(const std::string content, Content(request, index));
  const auto is_tool = [&](size_t i) { return request.messages[i].role == "tool"; };
  if (index == 0 || !is_tool(index - 1)) *out += "<|im_start|>user";
  *out += "\n<tool_response>\n" + content + "\n</tool_response>";
  if (index + 1 == request.messages.size() || !is_tool(index + 1)) *out += kEnd;
  return OkStatus();
}

Status AppendQwenTools(const ChatRequest& request, std::string* out) {
  *out +=
      "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
      "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
  for (size_t i = 0; i < request.tools.size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(const std::string tool,
                             ToPythonJson(fmt::format("tools[{}]", i), request.tools[i]));
    *out += "\n" + tool;
  }
  *out +=
      "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
      "within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, "
      "\"arguments\": <args-json-object>}\n</tool_call>";
  return OkStatus();
}

}  // namespace

StatusOr<std::string> RenderQwen25(const ChatRequest& request, const std::string& default_system) {
  PHALANX_RETURN_IF_ERROR(CheckNotEmpty(request));
  std::string system = default_system;
  if (request.messages[0].role == "system") {
    PHALANX_ASSIGN_OR_RETURN(system, Content(request, 0));
  }
  std::string out = "<|im_start|>system\n" + system;
  if (!request.tools.empty()) PHALANX_RETURN_IF_ERROR(AppendQwenTools(request, &out));
  out += kEnd;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const ChatMessage& message = request.messages[i];
    const bool is_assistant = message.role == "assistant";
    if (message.role == "system" && i == 0) continue;
    if (message.role == "user" || message.role == "system" ||
        (is_assistant && message.tool_calls.empty())) {
      PHALANX_ASSIGN_OR_RETURN(const std::string content, Content(request, i));
      AppendMessage(message.role, content, &out);
    } else if (is_assistant) {
      PHALANX_RETURN_IF_ERROR(AppendQwenToolCalls(request, i, &out));
    } else if (message.role == "tool") {
      PHALANX_RETURN_IF_ERROR(AppendQwenToolAnswer(request, i, &out));
    } else {
      return UnknownRole(request, i);
    }
  }
  if (request.generation_prompt == GenerationPrompt::kAdd) out += "<|im_start|>assistant\n";
  return out;
}

StatusOr<std::string> RenderChatMl(const ChatRequest& request,
                                   const std::optional<std::string>& default_system) {
  PHALANX_RETURN_IF_ERROR(CheckNotEmpty(request));
  std::string out;
  if (default_system && request.messages[0].role != "system") {
    AppendMessage("system", *default_system, &out);
  }
  for (size_t i = 0; i < request.messages.size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(const std::string content, Content(request, i));
    AppendMessage(request.messages[i].role, content, &out);
  }
  if (request.generation_prompt == GenerationPrompt::kAdd) out += "<|im_start|>assistant\n";
  return out;
}

StatusOr<std::string> RenderDeepSeekR1(const ChatRequest& request,
                                       const DeepSeekR1Options& options) {
  constexpr std::string_view kSentenceEnd = "<｜end▁of▁sentence｜>";
  constexpr std::string_view kThinkEnd = "</think>";
  std::string system;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    if (request.messages[i].role != "system") continue;
    PHALANX_ASSIGN_OR_RETURN(system, Content(request, i));  // the last one holds
  }
  std::string out = options.bos_token + system;
  bool has_called_tool = false;  // never reset: the template knows one round of calls
  bool is_tool_answer = false;
  bool is_first_tool_answer = true;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const ChatMessage& message = request.messages[i];
    if (message.role == "system") continue;
    if (message.role == "assistant" && !message.content && !message.tool_calls.empty()) {
      is_tool_answer = false;
      for (const ChatToolCall& call : message.tool_calls) {
        out += has_called_tool ? "\n" : "<｜Assistant｜><｜tool▁calls▁begin｜>";
        out += "<｜tool▁call▁begin｜>" + call.type + "<｜tool▁sep｜>" + call.name + "\n```json\n" +
               call.arguments + "\n```<｜tool▁call▁end｜>";
        if (has_called_tool) out.append("<｜tool▁calls▁end｜>").append(kSentenceEnd);
        has_called_tool = true;
      }
      continue;
    }
    PHALANX_ASSIGN_OR_RETURN(std::string content, Content(request, i));
    if (message.role == "user") {
      is_tool_answer = false;
      out += "<｜User｜>" + content;
    } else if (message.role == "assistant") {
      if (is_tool_answer) {
        out += "<｜tool▁outputs▁end｜>" + content;
      } else {
        const size_t think_end = content.rfind(kThinkEnd);
        if (options.past_thinking == PastThinking::kDropped && think_end != std::string::npos) {
          content.erase(0, think_end + kThinkEnd.size());
        }
        out += "<｜Assistant｜>" + content;
      }
      out += kSentenceEnd;
      is_tool_answer = false;
    } else if (message.role == "tool") {
      is_tool_answer = true;
      out += is_first_tool_answer ? "<｜tool▁outputs▁begin｜>" : "\n";
      out += "<｜tool▁output▁begin｜>" + content + "<｜tool▁output▁end｜>";
      is_first_tool_answer = false;
    } else {
      return UnknownRole(request, i);
    }
  }
  if (is_tool_answer) {
    out += "<｜tool▁outputs▁end｜>";
  } else if (request.generation_prompt == GenerationPrompt::kAdd) {
    out += options.generation_prompt;
  }
  return out;
}

}  // namespace phalanx
