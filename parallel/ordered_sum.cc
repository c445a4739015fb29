#include "parallel/ordered_sum.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/check.h"

namespace phalanx {

void OrderedSum(std::span<const float* const> parts, int64_t count, float* out) {
  PHALANX_CHECK(!parts.empty());
  if (parts.size() == 2) {
    const float* a = parts[0];
    const float* b = parts[1];
    for (int64_t i = 0; i < count; ++i) out[i] = a[i] + b[i];
    return;
  }
  // A tile of sums stays in the first-level cache while the parts stream by; it also allows `out`
  // to be one of the parts.
  constexpr int64_t kTile = 512;
  float sum[kTile];
  for (int64_t begin = 0; begin < count; begin += kTile) {
    const int64_t n = std::min(kTile, count - begin);
    std::memcpy(sum, parts[0] + begin, static_cast<size_t>(n) * sizeof(float));
    for (const float* part : parts.subspan(1)) {
      for (int64_t i = 0; i < n; ++i) sum[i] += part[begin + i];
    }
    std::memcpy(out + begin, sum, static_cast<size_t>(n) * sizeof(float));
  }
}

}  // namespace phalanx
