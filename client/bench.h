// phalanx bench: a load on a running server; open loop (requests arrive when they arrive,
// --request-rate) or closed loop (--concurrency requests under way).
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddBench(CLI::App& app, Command& command);

}  // namespace phalanx
