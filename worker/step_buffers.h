// A plan's rows as the model takes them. All memory is allocated once, for the largest plan.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"
#include "worker/sampler.h"
#include "worker/step_plan.h"

namespace phalanx {

class StepBuffers {
 public:
  StepBuffers(const PlanLimits& limits, int32_t max_num_logit_rows);

  // Resolves kLastSample by the sampler's slots. `plan` is valid. The result points into this
  // object and is valid until the next call.
  ForwardBatch Fill(const StepPlan& plan, const Sampler& sampler);

 private:
  int64_t max_blocks_per_seq_;
  std::vector<int32_t> token_ids_;     // [max_num_tokens]
  std::vector<int32_t> positions_;     // [max_num_tokens]
  std::vector<int32_t> seq_of_token_;  // [max_num_tokens]
  std::vector<int32_t> row_start_;     // [max_num_seqs + 1]
  std::vector<int32_t> block_table_;   // [max_num_seqs, max_blocks_per_seq]
  std::vector<int32_t> logit_rows_;    // [max_num_logit_rows]
};

}  // namespace phalanx
