// kernels/adjust_logits.h for one row.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/adjust_logits.h"

namespace phalanx {

void AdjustRow(const RowAdjustment& adjustment, int64_t first_id, std::span<float> row);

}  // namespace phalanx
