// How large an automaton a structural tag may become, without building it.
//
// A structural tag is a tree of formats in JSON, as the grammar library and vLLM take it: literal
// text, JSON that fits a schema, expressions and grammars, put together by sequences, alternatives,
// repetitions and tags (a beginning, a content and an end).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "kernels/base/status.h"

namespace phalanx {

// {"type": "structural_tag", "format": {...}}: an upper bound of the states of all that it names.
// INVALID_ARGUMENT (without a field): formats deeper than `max_depth`, a repetition beyond
// `max_repetitions`, what is wrong with an inner schema, expression or grammar, and formats that
// are not text (the library's token formats).
StatusOr<int64_t> StructuralTagStates(const nlohmann::json& tag, int max_depth,
                                      int64_t max_repetitions);

}  // namespace phalanx
