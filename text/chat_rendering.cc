#include "text/chat_rendering.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "text/find_text.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"

namespace phalanx {
namespace {

using jinja::Dict;
using jinja::Type;
using jinja::Value;
using jinja::Values;

// Where messages carry thinking; the first is what templates read.
constexpr std::array<std::string_view, 3> kReasoningFields = {"reasoning_content", "thinking",
                                                              "reasoning"};
// No text says this, so that its place shows where the final message ends. The space behind it
// shows whether the template trims.
constexpr std::string_view kEndMark = "CONTINUE_FINAL_MESSAGE_TAG ";
constexpr std::string_view kTrimmedEndMark = kEndMark.substr(0, kEndMark.size() - 1);

const Value* FindSet(const Dict& dict, std::string_view name) {
  const Value* value = dict.Find(name);
  return value == nullptr || value->Is(Type::kNone) ? nullptr : value;
}

// The message with its thinking under the names that templates read.
Value WithReasoningNames(const Value& message) {
  const Value* reasoning = nullptr;
  for (const std::string_view field : kReasoningFields) {
    if (reasoning == nullptr) reasoning = FindSet(message.dict(), field);
  }
  if (reasoning == nullptr) return message;
  Dict out;
  out.Set("thinking", *reasoning);
  for (const Dict::Entry& entry : message.dict().entries()) out.Set(entry.key, entry.value);
  out.Set("reasoning_content", *reasoning);
  return Value::FromDict(std::move(out));
}

StatusOr<Values> ReadMessages(const Dict& variables) {
  const Value* messages = variables.Find("messages");
  if (messages == nullptr || !messages->Is(Type::kList)) {
    return InvalidField("messages", messages == nullptr ? "missing" : TypeName(*messages),
                        "a list of messages");
  }
  Values out;
  for (size_t i = 0; i < messages->items().size(); ++i) {
    const Value& message = messages->items()[i];
    if (!message.Is(Type::kDict)) {
      return InvalidField(fmt::format("messages[{}]", i), TypeName(message), "an object");
    }
    out.push_back(WithReasoningNames(message));
  }
  return out;
}

Status CheckTools(const Dict& variables) {
  const Value* tools = FindSet(variables, "tools");
  if (tools == nullptr) return OkStatus();
  if (!tools->Is(Type::kList)) {
    return InvalidField("tools", TypeName(*tools), "a list of tools, or null");
  }
  for (size_t i = 0; i < tools->items().size(); ++i) {
    if (!tools->items()[i].Is(Type::kDict)) {
      return InvalidField(fmt::format("tools[{}]", i), TypeName(tools->items()[i]), "an object");
    }
  }
  return OkStatus();
}

// Marks the end of a message's text, which it returns as well.
StatusOr<std::string> MarkText(const std::string& field, const Value& content, Value* marked) {
  const auto with_mark = [](const Value& text) {
    return Value::String(text.str() + std::string(kEndMark));
  };
  if (content.IsString()) {
    *marked = with_mark(content);
    return content.str();
  }
  Values blocks = content.Is(Type::kList) ? content.items() : Values();
  for (size_t i = blocks.size(); i-- > 0;) {
    const Value* text = blocks[i].Is(Type::kDict) ? blocks[i].dict().Find("text") : nullptr;
    if (text == nullptr || !text->IsString()) continue;
    const std::string found = text->str();
    Dict block = blocks[i].dict();
    block.Set("text", with_mark(Value::String(found)));
    blocks[i] = Value::FromDict(std::move(block));
    *marked = Value::List(std::move(blocks));
    return found;
  }
  return InvalidField(field, TypeName(content),
                      "a text to continue, or parts of which one is text");
}

// Marks the end of the final message's `field`, and returns its text.
StatusOr<std::string> MarkFinalMessage(const std::string& field, std::string_view source,
                                       Values* messages) {
  if (messages->empty()) return InvalidField("messages", "empty", "a message to continue");
  const std::string name = fmt::format("messages[{}].{}", messages->size() - 1, field);
  Dict message = messages->back().dict();
  const Value* found = FindSet(message, field);
  if (found == nullptr) return InvalidField(name, "missing", "a text to continue");
  const Value content = *found;
  std::vector<std::string_view> fields = {field};
  if (std::find(kReasoningFields.begin(), kReasoningFields.end(), field) !=
      kReasoningFields.end()) {
    fields.clear();
    for (const std::string_view other : kReasoningFields) {
      const Value* value = message.Find(other);
      if (value != nullptr && Equals(*value, content)) fields.push_back(other);
    }
  }
  const bool is_read = std::any_of(fields.begin(), fields.end(), [&](std::string_view other) {
    return source.find(other) != std::string_view::npos;
  });
  if (!is_read) {
    return InvalidField("continue_final_message", field, "a field that the template shows");
  }
  Value marked;
  PHALANX_ASSIGN_OR_RETURN(std::string text, MarkText(name, content, &marked));
  for (const std::string_view other : fields) message.Set(other, marked);
  messages->back() = Value::FromDict(std::move(message));
  return text;
}

// What the template wrote up to the mark; its own trailing space goes where the template trimmed.
StatusOr<std::string> CutAtMark(const std::string& rendered, std::string_view final_text) {
  const size_t at = rendered.rfind(kTrimmedEndMark);
  const std::string_view core = jinja::Strip(final_text, jinja::Side::kBoth);
  if (at == std::string::npos || FindLast(rendered, core) == std::string::npos) {
    return InvalidField("continue_final_message", "true",
                        "false, where the template does not show the final message's content");
  }
  const std::string_view kept = std::string_view(rendered).substr(0, at);
  const bool is_whole = rendered.compare(at, kEndMark.size(), kEndMark) == 0;
  return std::string(is_whole ? kept : jinja::Strip(kept, jinja::Side::kRight));
}

}  // namespace

StatusOr<ConversationTemplate> ConversationTemplate::Parse(std::string source) {
  PHALANX_ASSIGN_OR_RETURN(jinja::Template parsed, jinja::Template::Parse(source));
  return ConversationTemplate(std::move(source), std::move(parsed));
}

StatusOr<std::string> ConversationTemplate::Render(const Dict& variables,
                                                   const jinja::RenderOptions& options) const {
  PHALANX_ASSIGN_OR_RETURN(Values messages, ReadMessages(variables));
  PHALANX_RETURN_IF_ERROR(CheckTools(variables));
  Dict context;
  // What templates may ask for without asking whether it is there.
  context.Set("tools", Value::None());
  context.Set("documents", Value::None());
  context.Set("add_generation_prompt", Value::Bool(false));
  const Value* continued = FindSet(variables, "continue_final_message");
  for (const Dict::Entry& entry : variables.entries()) {
    if (entry.key.str() != "continue_final_message") context.Set(entry.key, entry.value);
  }
  std::optional<std::string> final_text;
  if (continued != nullptr && IsTrue(*continued)) {
    if (IsTrue(*context.Find("add_generation_prompt"))) {
      return InvalidField("continue_final_message", "true",
                          "false together with add_generation_prompt");
    }
    const std::string field = continued->IsString() ? continued->str() : "content";
    PHALANX_ASSIGN_OR_RETURN(final_text, MarkFinalMessage(field, source_, &messages));
  }
  context.Set("messages", Value::List(std::move(messages)));
  StatusOr<std::string> text = parsed_.Render(context, options);
  if (!text.ok()) return std::move(text).status().WithField("messages");
  if (!final_text) return text;
  return CutAtMark(*text, *final_text);
}

}  // namespace phalanx
