// A grammar for the later part of an output, such as what follows a model's thinking.
#pragma once

#include <cstdint>
#include <memory>

#include "grammar/grammar.h"

namespace phalanx {

// Its matchers take any tokens up to and with `token_id`, and `grammar`'s from there on.
// Thread-safe as `grammar` is.
std::shared_ptr<const CompiledGrammar> StartAfter(int32_t token_id,
                                                  std::shared_ptr<const CompiledGrammar> grammar);

}  // namespace phalanx
