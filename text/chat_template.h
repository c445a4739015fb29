// The seam between a conversation and the prompt text: the model's own chat template, rendered as
// Hugging Face transformers does. Implementations are chosen by LoadChatTemplate from the template
// that the model folder carries.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

struct ChatToolCall {
  std::string id;
  std::string type = "function";
  std::string name;
  // JSON text, as clients of the OpenAI API send it; empty means {}. It stays text so that large
  // integers and the order of keys survive.
  std::string arguments;
};

struct ChatMessage {
  std::string role;                    // system, user, assistant, tool
  std::optional<std::string> content;  // null only for an assistant that calls tools
  std::vector<ChatToolCall> tool_calls;
  std::string tool_call_id;
};

enum class GenerationPrompt { kAdd, kOmit };

struct ChatRequest {
  std::vector<ChatMessage> messages;
  std::vector<std::string>
      tools;  // JSON text of one tool each, {"type": "function", "function": {...}}
  GenerationPrompt generation_prompt = GenerationPrompt::kAdd;
};

// Immutable: Render may be called from any number of threads.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;

  // The prompt. It spells out its special tokens, so it is encoded with SpecialTokens::kOmit.
  // INVALID_ARGUMENT names the field ("messages[2].content", "tools[0]", ...) where the template
  // cannot take it. UNIMPLEMENTED where no renderer knows the model's template.
  virtual StatusOr<std::string> Render(const ChatRequest& request) const = 0;

  // "qwen2.5", "chatml", "deepseek-r1", "none" (the folder has no template), "unknown".
  virtual std::string_view name() const = 0;
};

// From chat_template.jinja, else tokenizer_config.json's chat_template (a string, or a list of
// named ones of which "default" is taken). A template that is not known loads, and its Render says
// what is supported. INVALID_ARGUMENT: a file is broken. A folder without any template is no error.
StatusOr<std::unique_ptr<ChatTemplate>> LoadChatTemplate(const std::filesystem::path& model_dir);

// The same for one template text; `bos_token` is the text that the template's bos_token stands for.
std::unique_ptr<ChatTemplate> MakeChatTemplate(std::string template_text,
                                               const std::string& bos_token);

}  // namespace phalanx
