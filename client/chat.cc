#include "client/chat.h"

#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "client/answer_json.h"
#include "client/connection.h"
#include "client/interrupt.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"

namespace phalanx {
namespace {

constexpr std::string_view kHelp =
    "/reset forgets the conversation, /system TEXT sets the system message, /quit leaves; "
    "Ctrl-C stops an answer";

struct ChatFlags {
  ConnectionFlags connection;
  v1::SamplingParams sampling;
  std::string model, system, message;
  bool one_message = false;
  bool json = false;
};

class Conversation {
 public:
  Conversation(const ChatFlags& flags, InterruptWatcher& interrupt)
      : flags_(flags), interrupt_(interrupt), stub_(Connect(flags.connection)) {
    *request_.mutable_sampling() = flags.sampling;
    request_.set_model(flags.model);
    Reset(flags.system);
  }

  void Reset(const std::string& system) {
    request_.clear_messages();
    if (!system.empty()) Add("system", system);
  }

  // Asks and prints the answer. The history keeps what was answered, also of a stopped answer; a
  // question that failed is forgotten.
  Status Ask(const std::string& question) {
    Add("user", question);
    grpc::ClientContext context;
    Prepare(context, flags_.connection);
    interrupt_.SetCall(&context);
    const auto open = [&] { return stub_->ChatStream(&context, request_); };
    const StreamedAnswer answer = ReadStream(open, [&](const v1::StreamResponse& delta) {
      if (!flags_.json && delta.index() == 0) PrintNow(delta.text_delta());
    });
    interrupt_.SetCall(nullptr);
    if (!flags_.json) PrintNow("\n");
    const bool stopped = answer.status.code() == StatusCode::kCancelled;
    if (!answer.status.ok() && !stopped) {
      request_.mutable_messages()->RemoveLast();
      return answer.status;
    }
    if (flags_.json) {
      fmt::print("{}\n", ToLine(ToJson(answer)));
    } else {
      PrintSpeed(answer);
    }
    Add("assistant", answer.response.choices().empty() ? "" : answer.response.choices(0).text());
    return OkStatus();
  }

 private:
  void Add(const std::string& role, const std::string& content) {
    v1::ChatMessage& message = *request_.add_messages();
    message.set_role(role);
    message.set_content(content);
  }

  const ChatFlags& flags_;
  InterruptWatcher& interrupt_;
  const std::unique_ptr<v1::Inference::StubInterface> stub_;
  v1::ChatRequest request_;
};

void PrintPrompt() { PrintNow(Coloured("> ", Colour::kPrompt, stdout)); }

int Converse(Conversation& conversation, std::string system) {
  fmt::print(stderr, "{}\n", Coloured(kHelp, Colour::kDim, stderr));
  std::string line;
  for (PrintPrompt(); std::getline(std::cin, line); PrintPrompt()) {
    if (line == "/quit" || line == "/exit") return kExitOk;
    if (line.empty()) continue;
    if (line == "/reset") {
      conversation.Reset(system);
    } else if (line == "/system" || line.starts_with("/system ")) {
      system = line.size() > 8 ? line.substr(8) : "";
      conversation.Reset(system);
    } else if (line.starts_with("/")) {
      fmt::print(stderr, "{}\n", kHelp);
    } else if (const Status status = conversation.Ask(line); !status.ok()) {
      ReportError(status);
    }
  }
  PrintNow("\n");
  return kExitOk;
}

int RunChat(const ChatFlags& flags) {
  InterruptWatcher interrupt([&] {
    if (flags.one_message) std::_Exit(130);  // as a shell expects of a program that SIGINT ended
    fmt::print(stderr, "\n{}\n", kHelp);
    PrintPrompt();
  });
  Conversation conversation(flags, interrupt);
  if (!flags.one_message) return Converse(conversation, flags.system);
  const Status status = conversation.Ask(flags.message);
  return status.ok() ? kExitOk : ReportError(status);
}

}  // namespace

void AddChat(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<ChatFlags>();
  CLI::App& sub = *app.add_subcommand("chat", "Talk to the model");
  AddConnectionFlags(sub, flags->connection);
  sub.add_option("--model", flags->model, "the served model's name");
  sub.add_option("--system", flags->system, "the system message");
  sub.add_option_function<std::string>(
      "--message",
      [flags](const std::string& message) {
        flags->message = message;
        flags->one_message = true;
      },
      "ask this and leave");
  sub.add_flag("--json", flags->json, "print answers as JSON");
  AddSamplingFlags(sub, flags->sampling);
  sub.callback([flags, &command] { command = [flags] { return RunChat(*flags); }; });
}

}  // namespace phalanx
