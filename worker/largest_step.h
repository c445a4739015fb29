// The step that takes the most of a device, run once before the KV pool is sized: what it makes the
// device load or keep is then known to be gone.
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/base/status.h"
#include "model/model.h"

namespace phalanx {

struct LargestStep {
  int64_t max_num_tokens = 0;
  int64_t max_num_seqs = 0;
  int64_t max_num_logit_rows = 0;
  int64_t max_model_len = 0;
  int64_t block_size = 16;
  DType kv_dtype = DType::kF32;
};

// Collective, and over once the backend has finished. Runs a prompt and some single tokens,
// max_num_tokens rows together as far as sequences reach, with as many rows of logits as a step may
// ask for, on a KV cache of its own, which the model still has when this returns.
Status RunLargestStep(const LargestStep& step, Qwen2Model& model);

}  // namespace phalanx
