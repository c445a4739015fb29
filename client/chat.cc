#include "client/chat.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "client/answer_json.h"
#include "client/conversation.h"
#include "client/input.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"

namespace phalanx {
namespace {

constexpr std::string_view kHelp =
    "/clear forgets the conversation, /system TEXT sets the system message, /set NAME VALUE a "
    "sampling parameter, /result TEXT answers a call, /quit leaves; Ctrl-C stops an answer; \"\"\" "
    "begins and ends several "
    "lines";

struct ChatFlags {
  ConversationOptions conversation;
  std::optional<std::string> message;
  std::string tools_file;
};

// Prompts and help are for a person at a terminal; a script that pipes questions in wants answers
// alone.
bool IsInteractive(const ChatFlags& flags) { return !flags.message && IsTerminal(stdin); }

void PrintHelp() { PrintError(Coloured(kHelp, Colour::kDim, stderr)); }

void PrintPrompt() { PrintNow(Coloured("> ", Colour::kPrompt, stdout)); }

// A line, or several between """ and """. nullopt: the end of the input.
std::optional<std::string> ReadQuestion() {
  constexpr std::string_view kQuotes = "\"\"\"";
  std::string text;
  if (!std::getline(std::cin, text)) return std::nullopt;
  if (!text.starts_with(kQuotes)) return text;
  text.erase(0, kQuotes.size());
  for (std::string line; !text.ends_with(kQuotes) && std::getline(std::cin, line);)
    text += '\n' + line;
  if (text.ends_with(kQuotes)) text.resize(text.size() - kQuotes.size());
  return text;
}

Status SetParam(Conversation& conversation, const std::string& arguments) {
  const size_t cut = arguments.find(' ');
  if (cut == std::string::npos)
    return InvalidField("/set", fmt::format("'{}'", arguments), "NAME VALUE");
  return conversation.SetParam(arguments.substr(0, cut), arguments.substr(cut + 1));
}

enum class Next { kGoOn, kLeave };

Next RunCommand(Conversation& conversation, const std::string& line) {
  const size_t cut = line.find(' ');
  const std::string name = line.substr(0, cut);
  const std::string arguments = cut == std::string::npos ? "" : line.substr(cut + 1);
  if (name == "/quit" || name == "/exit" || name == "/bye") return Next::kLeave;
  if (name == "/clear" || name == "/reset") {
    conversation.Clear();
  } else if (name == "/system") {
    conversation.SetSystem(arguments);
  } else if (name == "/set") {
    if (const Status status = SetParam(conversation, arguments); !status.ok()) ReportError(status);
  } else {
    if (name != "/help" && name != "/?") PrintError("phalanx: no command " + name);
    PrintHelp();
  }
  return Next::kGoOn;
}

// What a call is said to have come to; empty where the line is something else.
std::string_view ResultOf(std::string_view line) {
  constexpr std::string_view kCommand = "/result ";
  return line.starts_with(kCommand) ? line.substr(kCommand.size()) : std::string_view();
}

// Without a terminal, the exit code of the first question that failed.
int Converse(Conversation& conversation, const ChatFlags& flags) {
  const bool interactive = IsInteractive(flags);
  if (interactive) PrintHelp();
  int exit_code = kExitOk;
  while (true) {
    if (interactive) PrintPrompt();
    const std::optional<std::string> line = ReadQuestion();
    if (!line && interactive) PrintNow("\n");
    if (!line) return exit_code;
    if (line->empty()) continue;
    const std::string_view result = ResultOf(*line);
    if (line->starts_with("/") && result.empty()) {
      if (RunCommand(conversation, *line) == Next::kLeave) return exit_code;
      continue;
    }
    const auto ending =
        result.empty() ? conversation.Ask(*line) : conversation.GiveResult(std::string(result));
    if (ending.ok()) continue;
    const int code = ReportError(ending.status(), flags.conversation.connection);
    const std::string advice = conversation.AdviceOn(ending.status());
    if (!advice.empty()) PrintError("phalanx: " + advice);
    if (exit_code == kExitOk && !interactive) exit_code = code;
  }
}

// A list of tools in OpenAI's form, which the server judges.
Status ReadTools(const std::string& path, std::vector<std::string>& tools_json) {
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadInput("--tools", path));
  const auto tools = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!tools.is_array() || tools.empty()) {
    return InvalidField("--tools", "no JSON list of tools", "one, in the form of OpenAI's API");
  }
  for (const auto& tool : tools) tools_json.push_back(ToLine(tool));
  return OkStatus();
}

int RunChat(ChatFlags flags) {
  ConversationOptions& options = flags.conversation;
  if (!flags.tools_file.empty()) {
    if (const Status status = ReadTools(flags.tools_file, options.tools_json); !status.ok()) {
      return ReportError(status);
    }
  }
  for (const Status& status :
       {CheckUtf8("--message", flags.message.value_or("")), CheckUtf8("--system", options.system),
        CheckUtf8("--model", options.model), CheckUtf8(options.sampling)}) {
    if (!status.ok()) return ReportError(status);
  }
  InterruptWatcher interrupt([&] {
    if (!IsInteractive(flags)) std::_Exit(kExitInterrupted);
    PrintError("");
    PrintHelp();
    PrintPrompt();
  });
  Conversation conversation(options, interrupt);
  if (!flags.message) return Converse(conversation, flags);
  const auto ending = conversation.Ask(*flags.message);
  if (!ending.ok()) return ReportError(ending.status(), options.connection);
  return *ending == Conversation::Ending::kStopped ? kExitInterrupted : kExitOk;
}

}  // namespace

void AddChat(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<ChatFlags>();
  CLI::App& sub = *app.add_subcommand("chat", "Talk to the model");
  ConversationOptions& options = flags->conversation;
  AddConnectionFlags(sub, options.connection);
  sub.add_option("--model", options.model, "the served model's name");
  sub.add_option("--system", options.system, "the system message");
  sub.add_option_function<std::string>(
      "--message", [flags](const std::string& message) { flags->message = message; },
      "ask this and leave");
  sub.add_flag("--json", options.json, "print answers as JSON");
  sub.add_option("--tools", flags->tools_file,
                 "a file with a JSON list of tools that the model may call");
  AddSamplingFlags(sub, options.sampling);
  sub.callback([flags, &command] { command = [flags] { return RunChat(*flags); }; });
}

}  // namespace phalanx
