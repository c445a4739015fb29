// phalanx tokenize and detokenize: offline, from a model's folder.
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddTokenize(CLI::App& app, Command& command);
void AddDetokenize(CLI::App& app, Command& command);

}  // namespace phalanx
