// The same figures under the names that vLLM gives them, for dashboards made for it.
#pragma once

#include "coordinator/metrics/families.h"

namespace phalanx::metrics {

// Appends a copy of each family that vLLM has, under its name and labels.
void AppendVllmNames(Families* families);

}  // namespace phalanx::metrics
