// phalanx tokenize and detokenize: offline, from a model's folder.
#pragma once

#include <CLI/CLI.hpp>

#include "client/generate.h"

namespace phalanx {

void AddTokenize(CLI::App& app, Command& command);
void AddDetokenize(CLI::App& app, Command& command);

}  // namespace phalanx
