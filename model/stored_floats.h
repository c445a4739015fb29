// Elements of a checkpoint's tensors.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/base/dtype.h"

namespace phalanx {

// As many elements of kBF16, kF16 or kF32 as `to` has.
void WidenToFloat(const std::byte* from, DType dtype, std::span<float> to);

// Whether any of `count` elements is a NaN or an infinity. `data` is aligned for the dtype.
bool HasNonFinite(const std::byte* data, size_t count, DType dtype);

}  // namespace phalanx
