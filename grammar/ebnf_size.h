// How large an automaton a grammar in EBNF may become, without building it.
//
// The notation is the grammar library's, which llama.cpp's GBNF is a part of: rules NAME ::= ...,
// of which one is named root; literals "...", classes [...], groups (...), | * + ? {m,n}, and
// comments from # to the end of the line.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// An upper bound of the literals' bytes, classes and references once every {m,n} is written out.
// INVALID_ARGUMENT (without a field): groups deeper than `max_depth`, a repetition beyond
// `max_repetitions`, an unfinished group, class, literal or repetition; and what goes beyond text:
// the library's macros, whose arguments are languages of their own, and attributes of rules.
StatusOr<int64_t> EbnfStates(std::string_view grammar, int max_depth, int64_t max_repetitions);

}  // namespace phalanx
