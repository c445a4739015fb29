// The largest step that will come: what a backend sets memory aside for before the first one.
#pragma once

#include <cstdint>

#include "kernels/attention.h"

namespace phalanx {

struct StepLimits {
  int64_t max_num_tokens = 0;
  int64_t max_num_seqs = 0;
  int64_t max_num_logit_rows = 0;
  int64_t num_logit_cols = 0;      // of this rank
  int64_t max_blocks_per_seq = 0;  // of the KV cache, block_size tokens each
  int64_t block_size = 16;
  HeadLayout heads{};           // of this rank
  int64_t max_host_floats = 0;  // of one Backend::HostView that a step waits for
};

}  // namespace phalanx
