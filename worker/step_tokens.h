// A histogram of how many tokens steps have: whether prefill and decode fill them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace phalanx {

// The bounds of vLLM's iteration_tokens_total.
inline constexpr std::array<int64_t, 13> kStepTokenBounds = {1,   8,    16,   32,   64,   128,  256,
                                                             512, 1024, 2048, 4096, 8192, 16384};

struct StepTokens {
  // counts[i]: at most kStepTokenBounds[i] and more than the bound before; the last: more than all.
  std::array<int64_t, kStepTokenBounds.size() + 1> counts{};
  int64_t sum = 0;

  void Add(int64_t num_tokens) {
    const auto bound = std::ranges::lower_bound(kStepTokenBounds, num_tokens);
    ++counts[static_cast<size_t>(bound - kStepTokenBounds.begin())];
    sum += num_tokens;
  }
  bool operator==(const StepTokens&) const = default;
};

}  // namespace phalanx
