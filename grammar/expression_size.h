// How large an automaton a regular expression or a JSON schema may become, without building it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// An upper bound of the characters and classes of `expression` once every {m,n} is written out.
// INVALID_ARGUMENT (without a field): groups deeper than `max_depth`, a repetition beyond
// `max_repetitions`, an unfinished group, class, escape or repetition.
StatusOr<int64_t> ExpressionStates(std::string_view expression, int max_depth,
                                   int64_t max_repetitions);

// The same of a schema: the literals, bounded strings and patterns that it names, times the bounds
// of the arrays around them. INVALID_ARGUMENT (without a field): subschemas deeper than
// `max_depth`, a bound beyond `max_repetitions`, a $ref to another document.
StatusOr<int64_t> SchemaStates(const nlohmann::json& schema, int max_depth,
                               int64_t max_repetitions);

}  // namespace phalanx
