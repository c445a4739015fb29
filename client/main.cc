// phalanx: the command-line client.
//
// Exit codes: 0 done; 1 an error; 2 wrong usage or an argument that the server refused; 3 the
// server cannot be reached or cannot serve now.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <memory>

#include "client/batch.h"
#include "client/bench.h"
#include "client/chat.h"
#include "client/eval.h"
#include "client/generate.h"
#include "client/key.h"
#include "client/quantize.h"
#include "client/template.h"
#include "client/terminal.h"
#include "client/tokenize.h"
#include "client/top.h"

namespace {

// Shows "--echo,--no-echo" for what CLI11 writes as "--echo,--no-echo{false}".
class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    std::string name = CLI::Formatter::make_option_name(option, is_positional);
    return name.substr(0, name.find('{'));
  }
};

// "phalanx: WHAT IS WRONG", and where the help is.
std::string UsageError(const CLI::App* app, const CLI::Error& error) {
  const std::vector<CLI::App*> chosen = app->get_subcommands();
  if (!chosen.empty()) {
    return fmt::format("phalanx {0}: {1}\n`phalanx {0} --help` lists the flags\n",
                       chosen.front()->get_name(), error.what());
  }
  std::vector<std::string> names;
  for (const CLI::App* sub : app->get_subcommands({})) names.push_back(sub->get_name());
  const std::vector<std::string> words = app->remaining();
  return fmt::format(
      "phalanx: {}, allowed: {}\n`phalanx --help` says what each does\n",
      words.empty() ? "no subcommand is given" : fmt::format("no subcommand '{}'", words.front()),
      fmt::join(names, ", "));
}

}  // namespace

int main(int argc, char** argv) {
  phalanx::OpenStandardStreams();
  CLI::App app("Phalanx: a client of the inference service, and offline tools", "phalanx");
  app.set_version_flag("--version", "phalanx " PHALANX_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 done, 1 error, 2 wrong usage or argument, 3 server unavailable, 130 Ctrl-C");
  app.failure_message(UsageError);
  app.formatter(std::make_shared<HelpFormatter>());
  phalanx::Command command;
  phalanx::AddGenerate(app, command);
  phalanx::AddChat(app, command);
  phalanx::AddBatch(app, command);
  phalanx::AddBench(app, command);
  phalanx::AddEval(app, command);
  phalanx::AddTop(app, command);
  phalanx::AddTokenize(app, command);
  phalanx::AddDetokenize(app, command);
  phalanx::AddTemplate(app, command);
  phalanx::AddKey(app, command);
  phalanx::AddQuantize(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? phalanx::kExitOk : phalanx::kExitInvalid;
  }
  const int exit_code = command();
  // A full disk, say; what is lost must not look like success.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    phalanx::PrintError(
        fmt::format("phalanx: cannot write to standard output: {}", std::strerror(errno)));
    return exit_code == phalanx::kExitOk ? phalanx::kExitError : exit_code;
  }
  return exit_code;
}
