// phalanx template: renders conversations through a chat template, offline and without a model.
#pragma once

#include <CLI/CLI.hpp>

#include "client/generate.h"

namespace phalanx {

void AddTemplate(CLI::App& app, Command& command);

}  // namespace phalanx
