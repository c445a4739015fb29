#include "coordinator/core/prompt.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "coordinator/core/json_check.h"
#include "coordinator/core/printable.h"
#include "text/find_text.h"
#include "text/utf8.h"

namespace phalanx {
namespace {

constexpr std::array<std::string_view, 4> kRoles = {"system", "user", "assistant", "tool"};

Status CheckPromptBytes(std::string_view field, size_t bytes, int32_t limit) {
  if (bytes <= static_cast<size_t>(limit)) return OkStatus();
  return InvalidField(field, fmt::format("{} bytes", bytes), fmt::format("at most {}", limit));
}

Status CheckIds(std::string_view field, const std::vector<int32_t>& ids, int32_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= vocab_size) {
      return InvalidField(field, fmt::format("{} at position {}", ids[i], i),
                          fmt::format("token ids from 0 to {}", vocab_size - 1));
    }
  }
  return OkStatus();
}

StatusOr<Prompt> Encode(std::string_view field, std::string text, SpecialTokens special_tokens,
                        const ServedModel& model) {
  if (model.tokenizer() == nullptr) {
    return InvalidField(field, "text", "token ids, since the served model has no tokenizer");
  }
  if (const auto bad = FindInvalidUtf8(text)) {
    return InvalidField(field, fmt::format("no UTF-8 at byte {}", *bad), "UTF-8");
  }
  StatusOr<std::vector<int32_t>> ids =
      model.tokenizer()->Encode(text, {.special_tokens = special_tokens});
  if (!ids.ok()) return ids.status().WithContext(field);
  PHALANX_RETURN_IF_ERROR(CheckIds(field, *ids, model.vocab_size()));
  return Prompt{.ids = *std::move(ids), .text = std::move(text)};
}

StatusOr<ChatMessage> BuildMessage(const std::string& field, const v1::ChatMessage& message,
                                   const Limits& limits) {
  if (std::find(kRoles.begin(), kRoles.end(), message.role()) == kRoles.end()) {
    return InvalidField(field + ".role", Printable(message.role()),
                        "system, user, assistant or tool");
  }
  ChatMessage out;
  out.role = message.role();
  out.tool_call_id = message.tool_call_id();
  out.name = message.name();
  if (message.has_reasoning_content()) out.reasoning_content = message.reasoning_content();
  if (!message.content().empty() || message.tool_calls().empty()) out.content = message.content();
  if (message.tool_calls_size() > limits.max_tools) {
    return InvalidField(field + ".tool_calls", fmt::format("{} entries", message.tool_calls_size()),
                        fmt::format("at most {}", limits.max_tools));
  }
  for (int i = 0; i < message.tool_calls_size(); ++i) {
    const v1::ToolCall& call = message.tool_calls(i);
    if (!call.arguments_json().empty()) {
      PHALANX_RETURN_IF_ERROR(
          CheckJsonObject(fmt::format("{}.tool_calls[{}].arguments_json", field, i),
                          call.arguments_json(), limits));
    }
    ChatToolCall out_call;
    out_call.id = call.id();
    out_call.name = call.name();
    out_call.arguments = call.arguments_json();
    out.tool_calls.push_back(std::move(out_call));
  }
  return out;
}

size_t TextBytes(const v1::ChatRequest& request) {
  size_t bytes = 0;
  for (const v1::ChatMessage& message : request.messages()) {
    bytes += message.content().size() + message.tool_call_id().size() + message.name().size() +
             message.reasoning_content().size();
    for (const v1::ToolCall& call : message.tool_calls()) {
      bytes += call.id().size() + call.name().size() + call.arguments_json().size();
    }
  }
  for (const std::string& tool : request.tools_json()) bytes += tool.size();
  return bytes + request.chat_template_kwargs_json().size();
}

// Variables of the template's own. What the request has fields for goes there.
Status CheckTemplateVariables(const std::string& text, const Limits& limits) {
  constexpr std::string_view kField = "chat_template_kwargs_json";
  PHALANX_RETURN_IF_ERROR(CheckJsonObject(kField, text, limits));
  const nlohmann::json variables = nlohmann::json::parse(text);
  for (const char* name : {"messages", "tools", "add_generation_prompt", "continue_final_message",
                           "chat_template", "tokenize"}) {
    if (variables.contains(name)) {
      return InvalidField(kField, fmt::format("with {}", name), "other variables of the template");
    }
  }
  return OkStatus();
}

std::string_view Strip(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\n\r\f\v";
  const size_t begin = std::min(text.find_first_not_of(kSpaces), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(kSpaces) + 1);
}

// Ends the rendered text with the final message's content, as transformers' continue_final_message
// does: what the template put after it goes, and so does trailing space that the template trimmed.
StatusOr<std::string> CutAfterFinalMessage(std::string rendered, const v1::ChatRequest& request) {
  const std::string& content = request.messages(request.messages_size() - 1).content();
  const std::string_view core = Strip(content);
  const size_t at = FindLast(rendered, core);
  if (core.empty() || at == std::string::npos) {
    return InvalidField("continue_final_message", "true",
                        "false, where the template does not show the final message's content");
  }
  const std::string_view kept = std::string_view(content).substr(content.find(core));
  const bool spacing_kept = std::string_view(rendered).substr(at, kept.size()) == kept;
  rendered.resize(at + (spacing_kept ? kept.size() : core.size()));
  return rendered;
}

StatusOr<std::string> RenderChat(const v1::ChatRequest& request, const ServedModel& model,
                                 const Limits& limits) {
  if (request.messages().empty()) return InvalidField("messages", "empty", "at least one message");
  if (request.messages_size() > limits.max_messages) {
    return InvalidField("messages", fmt::format("{} entries", request.messages_size()),
                        fmt::format("at most {}", limits.max_messages));
  }
  if (request.tools_json_size() > limits.max_tools) {
    return InvalidField("tools_json", fmt::format("{} entries", request.tools_json_size()),
                        fmt::format("at most {}", limits.max_tools));
  }
  PHALANX_RETURN_IF_ERROR(
      CheckPromptBytes("messages", TextBytes(request), limits.max_prompt_bytes));
  const bool continues = request.continue_final_message();
  if (continues && request.add_generation_prompt()) {
    return InvalidField("continue_final_message", "true",
                        "false together with add_generation_prompt");
  }
  ChatRequest chat;
  for (int i = 0; i < request.messages_size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(ChatMessage message, BuildMessage(fmt::format("messages[{}]", i),
                                                               request.messages(i), limits));
    chat.messages.push_back(std::move(message));
  }
  for (int i = 0; i < request.tools_json_size(); ++i) {
    PHALANX_RETURN_IF_ERROR(
        CheckJsonObject(fmt::format("tools_json[{}]", i), request.tools_json(i), limits));
    chat.tools.push_back(request.tools_json(i));
  }
  if (!request.chat_template_kwargs_json().empty()) {
    PHALANX_RETURN_IF_ERROR(CheckTemplateVariables(request.chat_template_kwargs_json(), limits));
    chat.variables = request.chat_template_kwargs_json();
  }
  const bool adds =
      !continues && (!request.has_add_generation_prompt() || request.add_generation_prompt());
  chat.generation_prompt = adds ? GenerationPrompt::kAdd : GenerationPrompt::kOmit;
  PHALANX_ASSIGN_OR_RETURN(std::string text, model.chat_template().Render(chat));
  if (continues) {
    PHALANX_ASSIGN_OR_RETURN(text, CutAfterFinalMessage(std::move(text), request));
  }
  PHALANX_RETURN_IF_ERROR(CheckPromptBytes("messages", text.size(), limits.max_template_bytes));
  return text;
}

// The status of a nested message's field, as a field of the message around it.
Status Within(std::string_view outer, const Status& status) {
  if (status.field().empty()) return status;
  const std::string field = fmt::format("{}.{}", outer, status.field());
  const bool names_field = status.message().starts_with(status.field());
  return Status(status.code(),
                names_field ? fmt::format("{}.{}", outer, status.message()) : status.message())
      .WithField(field);
}

Status CheckNotEmpty(std::string_view field, const Prompt& prompt) {
  if (!prompt.ids.empty()) return OkStatus();
  return InvalidField(field, "empty", "at least one token");
}

}  // namespace

StatusOr<Prompt> BuildPrompt(const v1::GenerateRequest& request, const ServedModel& model,
                             const Limits& limits) {
  if (request.prompt_case() == v1::GenerateRequest::kText) {
    PHALANX_RETURN_IF_ERROR(
        CheckPromptBytes("prompt.text", request.text().size(), limits.max_prompt_bytes));
    PHALANX_ASSIGN_OR_RETURN(Prompt prompt,
                             Encode("prompt.text", request.text(), SpecialTokens::kAdd, model));
    PHALANX_RETURN_IF_ERROR(CheckNotEmpty("prompt.text", prompt));
    return prompt;
  }
  if (request.prompt_case() != v1::GenerateRequest::kTokenIds) {
    return InvalidField("prompt", "absent", "text or token_ids");
  }
  Prompt prompt;
  prompt.ids.assign(request.token_ids().ids().begin(), request.token_ids().ids().end());
  PHALANX_RETURN_IF_ERROR(CheckNotEmpty("prompt.token_ids", prompt));
  PHALANX_RETURN_IF_ERROR(CheckIds("prompt.token_ids", prompt.ids, model.vocab_size()));
  return prompt;
}

StatusOr<Prompt> BuildPrompt(const v1::ChatRequest& request, const ServedModel& model,
                             const Limits& limits) {
  PHALANX_ASSIGN_OR_RETURN(std::string text, RenderChat(request, model, limits));
  PHALANX_ASSIGN_OR_RETURN(Prompt prompt,
                           Encode("messages", std::move(text), SpecialTokens::kOmit, model));
  PHALANX_RETURN_IF_ERROR(CheckNotEmpty("messages", prompt));
  return prompt;
}

StatusOr<Prompt> BuildPrompt(const v1::TokenizeRequest& request, const ServedModel& model,
                             const Limits& limits) {
  if (request.input_case() == v1::TokenizeRequest::INPUT_NOT_SET) {
    return InvalidField("input", "absent", "text or chat");
  }
  if (request.input_case() == v1::TokenizeRequest::kChat) {
    StatusOr<std::string> rendered = RenderChat(request.chat(), model, limits);
    if (!rendered.ok()) return Within("chat", rendered.status());
    std::string text = *std::move(rendered);
    return Encode("chat.messages", std::move(text), SpecialTokens::kOmit, model);
  }
  PHALANX_RETURN_IF_ERROR(CheckPromptBytes("text", request.text().size(), limits.max_prompt_bytes));
  const bool adds = !request.has_add_special_tokens() || request.add_special_tokens();
  return Encode("text", request.text(), adds ? SpecialTokens::kAdd : SpecialTokens::kOmit, model);
}

}  // namespace phalanx
