// The seam between a conversation and the prompt text: the model's own chat template, rendered as
// Hugging Face transformers does (text/jinja/).
#pragma once

#include <filesystem>
#include <map>
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
  std::string role;                    // system, user, assistant, tool, or what the template knows
  std::optional<std::string> content;  // null only for an assistant that calls tools
  std::vector<ChatToolCall> tool_calls;
  std::string tool_call_id;                      // empty: none
  std::string name;                              // empty: none
  std::optional<std::string> reasoning_content;  // an assistant's thinking, where it is kept apart
};

enum class GenerationPrompt { kAdd, kOmit };

struct ChatRequest {
  std::vector<ChatMessage> messages;
  std::vector<std::string>
      tools;  // JSON text of one tool each, {"type": "function", "function": {...}}
  GenerationPrompt generation_prompt = GenerationPrompt::kAdd;
  // JSON text of an object with more variables for the template, such as {"enable_thinking":
  // false}; empty: none. They come before the model's special tokens and behind everything above.
  std::string variables;
};

// Immutable: Render may be called from any number of threads.
class ChatTemplate {
 public:
  virtual ~ChatTemplate() = default;

  // The prompt. It spells out its special tokens, so it is encoded with SpecialTokens::kOmit.
  // INVALID_ARGUMENT names the field ("messages[2].content", "tools[0]", ...) that cannot be taken;
  // where the template itself fails, or raises an exception, the field is "messages" and the
  // message says on which line. UNIMPLEMENTED where there is no template, or none that can be used.
  virtual StatusOr<std::string> Render(const ChatRequest& request) const = 0;

  // "jinja", "none" (the folder has no template), "unusable" (it cannot be parsed).
  virtual std::string_view name() const = 0;
};

// What a template knows by name: {"bos_token": "<s>", "eos_token": "</s>", ...}.
using TemplateTokens = std::map<std::string, std::string>;

// From tokenizer_config.json, and what it lacks from special_tokens_map.json. INVALID_ARGUMENT: a
// file is broken.
StatusOr<TemplateTokens> LoadTemplateTokens(const std::filesystem::path& model_dir);

// From chat_template.jinja and additional_chat_templates/NAME.jinja; where neither is there from
// tokenizer_config.json's chat_template (a string, or a list of named ones); where that is not
// there either from chat_template.json. Of named templates "tool_use" is taken for a request with
// tools, and "default" otherwise. A template that cannot be parsed loads, and its Render says why
// it cannot be used. INVALID_ARGUMENT: a file is broken. A folder without any template is no error.
StatusOr<std::unique_ptr<ChatTemplate>> LoadChatTemplate(const std::filesystem::path& model_dir);

// The same for one template text.
std::unique_ptr<ChatTemplate> MakeChatTemplate(const std::string& template_text,
                                               TemplateTokens tokens);
// Where the template needs no token but `bos_token`.
std::unique_ptr<ChatTemplate> MakeChatTemplate(const std::string& template_text,
                                               const std::string& bos_token);

}  // namespace phalanx
