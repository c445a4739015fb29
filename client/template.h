// phalanx template: renders conversations through a chat template, offline and without a model.
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddTemplate(CLI::App& app, Command& command);

}  // namespace phalanx
