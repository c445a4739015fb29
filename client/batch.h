// phalanx batch: requests from a JSONL file, answers to another, several at a time; a second run
// goes on where the first one stopped.
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddBatch(CLI::App& app, Command& command);

}  // namespace phalanx
