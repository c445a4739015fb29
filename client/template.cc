#include "client/template.h"

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "client/answer_json.h"
#include "client/input.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"
#include "hub/locate.h"
#include "text/chat_rendering.h"
#include "text/chat_template.h"
#include "text/jinja/json_value.h"

namespace phalanx {
namespace {

using Json = nlohmann::ordered_json;

struct TemplateFlags {
  std::string file;
  std::string model;
  bool jsonl = false;
};

// The text of one JSON object with what transformers' apply_chat_template takes. The model's tokens
// are the object's where it names them itself.
StatusOr<std::string> RenderInput(const ConversationTemplate& conversation,
                                  const TemplateTokens& tokens, const std::string& input) {
  PHALANX_RETURN_IF_ERROR(CheckUtf8("line", input));
  PHALANX_ASSIGN_OR_RETURN(const jinja::Value value, jinja::ValueFromJson("line", input));
  if (!value.Is(jinja::Type::kDict)) {
    return InvalidField("line", TypeName(value), "a JSON object with messages");
  }
  jinja::Dict variables;
  for (const auto& [name, text] : tokens) variables.Set(name, jinja::Value::String(text));
  for (const auto& entry : value.dict().entries()) variables.Set(entry.key, entry.value);
  return conversation.Render(variables);
}

std::string ErrorLine(const Status& status) {
  return ToLine(Json{{"error", status.message()}}) + '\n';
}

int RunTemplate(const TemplateFlags& flags) {
  StatusOr<std::string> source = ReadInput("--template", flags.file);
  if (!source.ok()) return ReportError(source.status());
  const StatusOr<ConversationTemplate> conversation =
      ConversationTemplate::Parse(*std::move(source));
  if (!conversation.ok() && flags.jsonl) {
    for (std::string line; std::getline(std::cin, line);) Print(ErrorLine(conversation.status()));
    return kExitOk;
  }
  if (!conversation.ok()) return ReportError(conversation.status());
  TemplateTokens tokens;
  if (!flags.model.empty()) {
    const auto folder = LocateModel(flags.model);
    if (!folder.ok()) return ReportError(folder.status());
    StatusOr<TemplateTokens> loaded = LoadTemplateTokens(*folder);
    if (!loaded.ok()) return ReportError(loaded.status().WithContext("--model"));
    tokens = *std::move(loaded);
  }
  if (!flags.jsonl) {
    const StatusOr<std::string> input = ReadInput("conversation", "-");
    if (!input.ok()) return ReportError(input.status());
    const StatusOr<std::string> text = RenderInput(*conversation, tokens, *input);
    if (!text.ok()) return ReportError(text.status());
    Print(*text);
    return kExitOk;
  }
  for (std::string line; std::getline(std::cin, line);) {
    const StatusOr<std::string> text = RenderInput(*conversation, tokens, line);
    Print(text.ok() ? ToLine(Json{{"text", *text}}) + '\n' : ErrorLine(text.status()));
  }
  return kExitOk;
}

}  // namespace

void AddTemplate(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<TemplateFlags>();
  CLI::App& sub = *app.add_subcommand(
      "template",
      "Render a conversation, a JSON object with messages and what else the template takes, from "
      "standard input; offline");
  sub.add_option("--template", flags->file, "a chat template's file")->required();
  sub.add_option("--model", flags->model,
                 "a model's folder or hub id, whose bos_token, eos_token, ... the template sees");
  sub.add_flag("--jsonl", flags->jsonl,
               "an object a line in, {\"text\": ...} or {\"error\": ...} a line out");
  sub.callback([flags, &command] { command = [flags] { return RunTemplate(*flags); }; });
}

}  // namespace phalanx
