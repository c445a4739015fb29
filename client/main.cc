// phalanx: the command-line client.
//
// Exit codes: 0 done; 1 an error; 2 wrong usage or an argument that the server refused; 3 the
// server cannot be reached or cannot serve now.
#include <CLI/CLI.hpp>

#include "client/batch.h"
#include "client/bench.h"
#include "client/chat.h"
#include "client/generate.h"
#include "client/tokenize.h"

int main(int argc, char** argv) {
  CLI::App app("Phalanx: a client of the inference service, and offline tools", "phalanx");
  app.set_version_flag("--version", "phalanx " PHALANX_VERSION);
  app.require_subcommand(1);
  app.footer("Exit codes: 0 done, 1 error, 2 wrong usage or argument, 3 server unavailable");
  phalanx::Command command;
  phalanx::AddGenerate(app, command);
  phalanx::AddChat(app, command);
  phalanx::AddBatch(app, command);
  phalanx::AddBench(app, command);
  phalanx::AddTokenize(app, command);
  phalanx::AddDetokenize(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? phalanx::kExitOk : phalanx::kExitInvalid;
  }
  return command();
}
