// The one place that decides what is refused because it would change the answer and is not built:
// parameters without a counterpart here.
#pragma once

#include <span>

#include "coordinator/openai/call.h"
#include "coordinator/openai/field_table.h"

namespace phalanx::openai {

// Each passes where its field has a value that changes nothing, else INVALID_ARGUMENT.
std::span<const FieldRow<Call>> UnsupportedRows();

// UNIMPLEMENTED: a value that may come to work, with what is allowed until then.
Status NotYet(const JsonField& field, std::string_view allowed);

// tool_choice none and auto pass; required or a named function need constrained output.
StatusOr<std::string> ReadToolChoice(const JsonField& field);

}  // namespace phalanx::openai
