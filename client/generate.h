// phalanx generate: one prompt, one answer (or n), streamed to the terminal or as JSON.
#pragma once

#include <functional>

#include "client/connection.h"

namespace CLI {
class App;
}

namespace phalanx {

// What main runs once the command line is parsed; returns the exit code.
using Command = std::function<int()>;

// Adds the subcommand; its parsing sets `command`.
void AddGenerate(CLI::App& app, Command& command);

}  // namespace phalanx
