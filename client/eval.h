// phalanx eval: how well the served model predicts a text.
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddEval(CLI::App& app, Command& command);

}  // namespace phalanx
