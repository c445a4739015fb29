// The one place where partial results are added, so that every communicator gives the same bits.
#pragma once

#include <cstdint>
#include <span>

namespace phalanx {

// out[i] = ((parts[0][i] + parts[1][i]) + parts[2][i]) + ..., in f32. Each part and out hold
// `count` elements; out may be one of the parts. At least one part.
void OrderedSum(std::span<const float* const> parts, int64_t count, float* out);

}  // namespace phalanx
