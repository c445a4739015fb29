#include "client/generate.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "client/answer_json.h"
#include "client/input.h"
#include "client/interrupt.h"
#include "client/number_flag.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"

namespace phalanx {
namespace {

struct GenerateFlags {
  ConnectionFlags connection;
  v1::GenerateRequest request;
  std::optional<std::string> prompt, prompt_ids, file;  // exactly one
  bool json = false;
};

Status SetPrompt(const GenerateFlags& flags, v1::GenerateRequest& request) {
  if (flags.prompt_ids) {
    PHALANX_ASSIGN_OR_RETURN(const auto ids, ParseTokenIds(*flags.prompt_ids, "--prompt-ids"));
    if (ids.empty()) return InvalidField("--prompt-ids", "''", "at least one token id");
    request.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  } else if (flags.file) {
    PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadInput("--file", *flags.file));
    PHALANX_RETURN_IF_ERROR(CheckUtf8("--file", text));
    request.set_text(text);
  } else {
    PHALANX_RETURN_IF_ERROR(CheckUtf8("--prompt", *flags.prompt));
    request.set_text(*flags.prompt);
  }
  return CheckUtf8(request);
}

// Several answers would interleave, so they are printed one after the other.
void PrintChoices(const v1::GenerateResponse& response) {
  for (const v1::Choice& choice : response.choices()) {
    const std::string title = fmt::format("[{}]", choice.index());
    PrintNow(fmt::format("{} {}\n", Coloured(title, Colour::kPrompt, stdout), choice.text()));
  }
}

int RunGenerate(GenerateFlags& flags) {
  const Status prompt = SetPrompt(flags, flags.request);
  if (!prompt.ok()) return ReportError(prompt);
  const bool live = !flags.json && flags.request.sampling().n() <= 1;

  InterruptWatcher interrupt([] { std::_Exit(kExitInterrupted); });
  const auto stub = Connect(flags.connection);
  grpc::ClientContext context;
  Prepare(context, flags.connection);
  interrupt.SetCall(&context);
  bool printed = false;
  const auto open = [&] { return stub->GenerateStream(&context, flags.request); };
  const StreamedAnswer answer = ReadStream(open, [&](const v1::StreamResponse& delta) {
    if (!live || delta.text_delta().empty()) return;
    PrintNow(delta.text_delta());
    printed = true;
  });
  interrupt.SetCall(nullptr);
  // Even of an empty answer: what is printed is the text and an end of line.
  if (live && (printed || answer.status.ok())) PrintNow("\n");
  if (!answer.status.ok() && interrupt.cancelled()) {
    PrintSpeed(answer);
    return kExitInterrupted;
  }
  if (!answer.status.ok()) return ReportError(answer.status, flags.connection);
  if (flags.json) {
    PrintNow(ToLine(ToJson(answer)) + '\n');
  } else {
    if (!live) PrintChoices(answer.response);
    PrintSpeed(answer);
  }
  return kExitOk;
}

// Not as an option of type optional, for which CLI11 takes an empty text for none.
void AddText(CLI::App& app, const std::string& flag, std::optional<std::string>& text,
             const std::string& help) {
  app.add_option_function<std::string>(
         flag, [&text](const std::string& value) { text = value; }, help)
      ->group("Prompt, exactly one of");
}

}  // namespace

void AddGenerate(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App& sub = *app.add_subcommand("generate", "Continue a prompt");
  AddConnectionFlags(sub, flags->connection);
  AddText(sub, "--prompt", flags->prompt, "the text");
  AddText(sub, "--prompt-ids", flags->prompt_ids, "token ids, e.g. 1,2,3");
  AddText(sub, "--file", flags->file, "a file with the text; -: standard input");
  sub.add_option("--model", *flags->request.mutable_model(), "the served model's name");
  sub.add_option("--request-id", *flags->request.mutable_request_id(), "a label, echoed");
  AddNumber<int32_t>(
      sub, "--priority", {}, [flags](int32_t value) { flags->request.set_priority(value); },
      "lower is served first where the server schedules by priority");
  sub.add_option("--cache-salt", *flags->request.mutable_cache_salt(),
                 "shares cached prefixes only with the same salt");
  sub.add_flag("--json", flags->json, "print JSON: text, token_ids, logprobs, usage, timings, ...");
  AddSamplingFlags(sub, *flags->request.mutable_sampling());
  sub.callback([flags, &command] {
    const int num_prompts =
        flags->prompt.has_value() + flags->prompt_ids.has_value() + flags->file.has_value();
    if (num_prompts != 1)
      throw CLI::ValidationError("exactly one of --prompt, --prompt-ids, --file is allowed");
    command = [flags] { return RunGenerate(*flags); };
  });
}

}  // namespace phalanx
