// phalanx quantize: makes a folder of 8-bit or 4-bit weights, offline.
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddQuantize(CLI::App& app, Command& command);

}  // namespace phalanx
