#include "client/generate.h"

#include <fmt/format.h>

#include <memory>

#include "client/answer_json.h"
#include "client/file.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"

namespace phalanx {
namespace {

struct GenerateFlags {
  ConnectionFlags connection;
  v1::GenerateRequest request;
  std::string prompt, prompt_ids, file;
  bool json = false;
};

Status SetPrompt(const GenerateFlags& flags, v1::GenerateRequest& request) {
  if (!flags.prompt_ids.empty()) {
    PHALANX_ASSIGN_OR_RETURN(const auto ids, ParseTokenIds(flags.prompt_ids, "prompt_ids"));
    request.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
    return OkStatus();
  }
  if (!flags.file.empty()) {
    PHALANX_ASSIGN_OR_RETURN(*request.mutable_text(), ReadFile(flags.file));
    return OkStatus();
  }
  request.set_text(flags.prompt);
  return OkStatus();
}

// Several answers would interleave, so they are printed one after the other.
void PrintChoices(const v1::GenerateResponse& response) {
  for (const v1::Choice& choice : response.choices()) {
    const std::string title = fmt::format("[{}]", choice.index());
    fmt::print("{} {}\n", Coloured(title, Colour::kPrompt, stdout), choice.text());
  }
}

int RunGenerate(GenerateFlags& flags) {
  const Status prompt = SetPrompt(flags, flags.request);
  if (!prompt.ok()) return ReportError(prompt);
  const bool live = !flags.json && flags.request.sampling().n() <= 1;

  const auto stub = Connect(flags.connection);
  grpc::ClientContext context;
  Prepare(context, flags.connection);
  const auto open = [&] { return stub->GenerateStream(&context, flags.request); };
  const StreamedAnswer answer = ReadStream(open, [&](const v1::StreamResponse& delta) {
    if (live) PrintNow(delta.text_delta());
  });
  if (live && answer.num_tokens() > 0) PrintNow("\n");
  if (!answer.status.ok()) return ReportError(answer.status);
  if (flags.json) {
    fmt::print("{}\n", ToLine(ToJson(answer)));
  } else {
    if (!live) PrintChoices(answer.response);
    PrintSpeed(answer);
  }
  return kExitOk;
}

}  // namespace

void AddGenerate(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<GenerateFlags>();
  CLI::App& sub = *app.add_subcommand("generate", "Continue a prompt");
  AddConnectionFlags(sub, flags->connection);
  auto* prompt = sub.add_option_group("prompt", "exactly one of");
  prompt->add_option("--prompt", flags->prompt, "the text");
  prompt->add_option("--prompt-ids", flags->prompt_ids, "token ids, e.g. 1,2,3");
  prompt->add_option("--file", flags->file, "a file with the text; -: standard input");
  prompt->require_option(1);
  sub.add_option("--model", *flags->request.mutable_model(), "the served model's name");
  sub.add_option("--request-id", *flags->request.mutable_request_id(), "a label, echoed");
  sub.add_option_function<int32_t>(
      "--priority", [flags](int32_t value) { flags->request.set_priority(value); },
      "lower is served first where the server schedules by priority");
  sub.add_option("--cache-salt", *flags->request.mutable_cache_salt(),
                 "shares cached prefixes only with the same salt");
  sub.add_flag("--json", flags->json, "print JSON: text, token_ids, logprobs, usage, timings, ...");
  AddSamplingFlags(sub, *flags->request.mutable_sampling());
  sub.callback([flags, &command] { command = [flags] { return RunGenerate(*flags); }; });
}

}  // namespace phalanx
