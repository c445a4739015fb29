// The one place that decides what is refused because it would change the answer and is not built:
// parameters without a counterpart here.
#pragma once

#include <span>

#include "coordinator/openai/call.h"
#include "coordinator/openai/field_table.h"

namespace phalanx::openai {

// Each passes where its field has a value that changes nothing, else INVALID_ARGUMENT.
std::span<const FieldRow<Call>> UnsupportedRows();

}  // namespace phalanx::openai
