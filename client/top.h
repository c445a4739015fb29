// phalanx top: what a service does, refreshed on a terminal; one snapshot elsewhere.
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddTop(CLI::App& app, Command& command);

}  // namespace phalanx
