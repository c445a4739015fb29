// The one place that decides what is refused because it would change the answer and is not built:
// constrained output, and parameters without a counterpart here.
#pragma once

#include <span>

#include "coordinator/openai/call.h"
#include "coordinator/openai/field_table.h"

namespace phalanx::openai {

// Each passes where its field has a value that changes nothing. UNIMPLEMENTED: constrained output
// (response_format, structured_outputs, guided_*); INVALID_ARGUMENT: the others.
std::span<const FieldRow<Call>> UnsupportedRows();

// tool_choice none and auto pass; required or a named function need constrained output.
StatusOr<std::string> ReadToolChoice(const JsonField& field);

}  // namespace phalanx::openai
