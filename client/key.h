// phalanx key: makes an API key, offline.
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddKey(CLI::App& app, Command& command);

}  // namespace phalanx
