// The numbers of one step that ops read beside activations and weights.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/attention.h"

namespace phalanx {

// All arrays lie in one memory: the host's as the scheduler fills them, the backend's as ops read
// them (Backend::Upload).
struct ForwardBatch {
  std::span<const int32_t> token_ids{};  // [num_tokens]
  BatchView batch{};
  std::span<const int32_t> logit_rows{};  // rows whose logits are wanted, ascending
};

}  // namespace phalanx
