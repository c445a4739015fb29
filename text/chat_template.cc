#include "text/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "text/chat_rendering.h"
#include "text/chat_template_files.h"
#include "text/jinja/json_value.h"
#include "text/utf8.h"

namespace phalanx {
namespace {

using jinja::Dict;
using jinja::Value;
using jinja::Values;

// How a template takes a call's arguments. The field's templates write them with tojson, which
// needs an object; DeepSeek's put the text together with other text.
enum class ArgumentForm { kObject, kText };

Status CheckText(const std::string& field, const std::string& text) {
  if (const auto at = FindInvalidUtf8(text)) {
    return InvalidField(field, fmt::format("no UTF-8 at byte {}", *at), "UTF-8");
  }
  return OkStatus();
}

StatusOr<Value> BuildCall(const std::string& field, const ChatToolCall& call, ArgumentForm form) {
  PHALANX_RETURN_IF_ERROR(CheckText(field + ".id", call.id));
  PHALANX_RETURN_IF_ERROR(CheckText(field + ".function.name", call.name));
  const std::string text = call.arguments.empty() ? "{}" : call.arguments;
  PHALANX_ASSIGN_OR_RETURN(Value arguments,
                           jinja::ValueFromJson(field + ".function.arguments", text));
  if (form == ArgumentForm::kText) arguments = Value::String(text);
  Dict function;
  function.Set("name", Value::String(call.name));
  function.Set("arguments", std::move(arguments));
  Dict out;
  if (!call.id.empty()) out.Set("id", Value::String(call.id));
  out.Set("type", Value::String(call.type));
  out.Set("function", Value::FromDict(std::move(function)));
  return Value::FromDict(std::move(out));
}

StatusOr<Value> BuildMessage(const std::string& field, const ChatMessage& message,
                             ArgumentForm form) {
  if (!message.content && message.tool_calls.empty()) {
    return InvalidField(field + ".content", "null",
                        "text; null only where the message has tool_calls");
  }
  Dict out;
  const auto set = [&](const char* name, const std::string& text) {
    Status status = CheckText(field + "." + name, text);
    if (status.ok()) out.Set(name, Value::String(text));
    return status;
  };
  PHALANX_RETURN_IF_ERROR(set("role", message.role));
  if (message.content) {
    PHALANX_RETURN_IF_ERROR(set("content", *message.content));
  } else {
    out.Set("content", Value::None());
  }
  if (message.reasoning_content) {
    PHALANX_RETURN_IF_ERROR(set("reasoning_content", *message.reasoning_content));
  }
  if (!message.name.empty()) PHALANX_RETURN_IF_ERROR(set("name", message.name));
  if (!message.tool_call_id.empty()) {
    PHALANX_RETURN_IF_ERROR(set("tool_call_id", message.tool_call_id));
  }
  if (!message.tool_calls.empty()) {
    Values calls;
    for (size_t i = 0; i < message.tool_calls.size(); ++i) {
      PHALANX_ASSIGN_OR_RETURN(Value call, BuildCall(fmt::format("{}.tool_calls[{}]", field, i),
                                                     message.tool_calls[i], form));
      calls.push_back(std::move(call));
    }
    out.Set("tool_calls", Value::List(std::move(calls)));
  }
  return Value::FromDict(std::move(out));
}

// The names and values that the template sees.
StatusOr<Dict> BuildVariables(const ChatRequest& request, const TemplateTokens& tokens,
                              ArgumentForm form) {
  if (request.messages.empty()) return InvalidField("messages", "empty", "at least one message");
  Dict variables;
  for (const auto& [name, text] : tokens) variables.Set(name, Value::String(text));
  if (!request.variables.empty()) {
    PHALANX_ASSIGN_OR_RETURN(const Value more,
                             jinja::ValueFromJson("chat_template_kwargs", request.variables));
    if (!more.Is(jinja::Type::kDict)) {
      return InvalidField("chat_template_kwargs", TypeName(more), "a JSON object");
    }
    for (const Dict::Entry& entry : more.dict().entries()) variables.Set(entry.key, entry.value);
  }
  Values messages;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(
        Value message, BuildMessage(fmt::format("messages[{}]", i), request.messages[i], form));
    messages.push_back(std::move(message));
  }
  Values tools;
  for (size_t i = 0; i < request.tools.size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(Value tool,
                             jinja::ValueFromJson(fmt::format("tools[{}]", i), request.tools[i]));
    tools.push_back(std::move(tool));
  }
  variables.Set("messages", Value::List(std::move(messages)));
  variables.Set("tools", tools.empty() ? Value::None() : Value::List(std::move(tools)));
  variables.Set("add_generation_prompt",
                Value::Bool(request.generation_prompt == GenerationPrompt::kAdd));
  return variables;
}

class JinjaTemplate final : public ChatTemplate {
 public:
  JinjaTemplate(ConversationTemplate conversation, TemplateTokens tokens)
      : conversation_(std::move(conversation)),
        tokens_(std::move(tokens)),
        form_(conversation_.parsed().JoinsToText("arguments") ? ArgumentForm::kText
                                                              : ArgumentForm::kObject) {}

  StatusOr<std::string> Render(const ChatRequest& request) const override {
    PHALANX_ASSIGN_OR_RETURN(const Dict variables, BuildVariables(request, tokens_, form_));
    return conversation_.Render(variables);
  }
  std::string_view name() const override { return "jinja"; }

 private:
  ConversationTemplate conversation_;
  TemplateTokens tokens_;
  ArgumentForm form_;
};

class NoTemplate final : public ChatTemplate {
 public:
  StatusOr<std::string> Render(const ChatRequest&) const override {
    return UnimplementedError(
        "chat_template: the model has none (no chat_template.jinja, and no chat_template in "
        "tokenizer_config.json), allowed: prompts as text or token ids");
  }
  std::string_view name() const override { return "none"; }
};

class UnusableTemplate final : public ChatTemplate {
 public:
  explicit UnusableTemplate(const Status& error) : error_(error.message()) {}
  StatusOr<std::string> Render(const ChatRequest&) const override {
    return UnimplementedError("{}, allowed: prompts as text or token ids", error_);
  }
  std::string_view name() const override { return "unusable"; }

 private:
  std::string error_;
};

// One template for requests with tools, and one for the others.
class NamedTemplates final : public ChatTemplate {
 public:
  NamedTemplates(std::unique_ptr<ChatTemplate> plain, std::unique_ptr<ChatTemplate> with_tools)
      : plain_(std::move(plain)), with_tools_(std::move(with_tools)) {}
  StatusOr<std::string> Render(const ChatRequest& request) const override {
    return (request.tools.empty() ? plain_ : with_tools_)->Render(request);
  }
  std::string_view name() const override { return plain_->name(); }

 private:
  std::unique_ptr<ChatTemplate> plain_;
  std::unique_ptr<ChatTemplate> with_tools_;
};

}  // namespace

std::unique_ptr<ChatTemplate> MakeChatTemplate(const std::string& template_text,
                                               TemplateTokens tokens) {
  StatusOr<ConversationTemplate> parsed = ConversationTemplate::Parse(template_text);
  if (!parsed.ok()) return std::make_unique<UnusableTemplate>(parsed.status());
  return std::make_unique<JinjaTemplate>(*std::move(parsed), std::move(tokens));
}

std::unique_ptr<ChatTemplate> MakeChatTemplate(const std::string& template_text,
                                               const std::string& bos_token) {
  TemplateTokens tokens;
  if (!bos_token.empty()) tokens["bos_token"] = bos_token;
  return MakeChatTemplate(template_text, std::move(tokens));
}

StatusOr<std::unique_ptr<ChatTemplate>> LoadChatTemplate(const std::filesystem::path& model_dir) {
  PHALANX_ASSIGN_OR_RETURN(const TemplateTexts texts, ReadTemplateTexts(model_dir));
  if (texts.empty()) return std::make_unique<NoTemplate>();
  PHALANX_ASSIGN_OR_RETURN(const TemplateTokens tokens, LoadTemplateTokens(model_dir));
  const auto plain = texts.find("default");
  const auto with_tools = texts.find("tool_use");
  if (plain == texts.end() && with_tools == texts.end()) {
    return InvalidField("chat_template", fmt::format("{} named templates", texts.size()),
                        "templates of which one is named \"default\"");
  }
  auto first = MakeChatTemplate((plain == texts.end() ? with_tools : plain)->second, tokens);
  if (plain == texts.end() || with_tools == texts.end()) return first;
  return std::make_unique<NamedTemplates>(std::move(first),
                                          MakeChatTemplate(with_tools->second, tokens));
}

}  // namespace phalanx
