// The limits of grammars on a command line: the coordinator checks them, rank 0 holds to them.
#pragma once

#include "grammar/grammar_spec.h"

namespace CLI {
class App;
}

namespace phalanx {

// `limits` must outlive `app`'s parsing.
void AddGrammarLimits(CLI::App& app, GrammarLimits& limits);

}  // namespace phalanx
