#include "worker/step_buffers.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace phalanx {

StepBuffers::StepBuffers(const PlanLimits& limits, int32_t max_num_logit_rows)
    : max_blocks_per_seq_((limits.max_model_len + limits.block_size - 1) / limits.block_size) {
  const auto tokens = static_cast<size_t>(limits.max_num_tokens);
  const auto seqs = static_cast<size_t>(limits.max_num_seqs);
  token_ids_.resize(tokens);
  positions_.resize(tokens);
  seq_of_token_.resize(tokens);
  row_start_.resize(seqs + 1);
  block_table_.resize(seqs * static_cast<size_t>(max_blocks_per_seq_));
  logit_rows_.resize(static_cast<size_t>(max_num_logit_rows));
}

ForwardBatch StepBuffers::Fill(const StepPlan& plan, const Sampler& sampler) {
  size_t row = 0;
  size_t num_logit_rows = 0;
  int32_t seq = 0;
  for (const SequenceWork& work : plan.work) {
    row_start_[static_cast<size_t>(seq)] = static_cast<int32_t>(row);
    PHALANX_CHECK_LE(num_logit_rows + work.logit_offsets.size(), logit_rows_.size());
    for (const int32_t offset : work.logit_offsets) {
      logit_rows_[num_logit_rows++] = static_cast<int32_t>(row) + offset;
    }
    PHALANX_CHECK_LE(static_cast<int64_t>(work.block_table.size()), max_blocks_per_seq_);
    std::copy(work.block_table.begin(), work.block_table.end(),
              block_table_.begin() + seq * max_blocks_per_seq_);
    for (size_t i = 0; i < work.tokens.size(); ++i, ++row) {
      const int32_t token = work.tokens[i];
      token_ids_[row] = token == kLastSample ? sampler.LastSample(work.slot) : token;
      positions_[row] = work.start_position + static_cast<int32_t>(i);
      seq_of_token_[row] = seq;
    }
    ++seq;
  }
  row_start_[static_cast<size_t>(seq)] = static_cast<int32_t>(row);
  ForwardBatch batch;
  batch.token_ids = {token_ids_.data(), row};
  batch.batch = {.num_tokens = static_cast<int64_t>(row),
                 .num_seqs = seq,
                 .max_blocks_per_seq = max_blocks_per_seq_,
                 .positions = positions_.data(),
                 .seq_of_token = seq_of_token_.data(),
                 .row_start = row_start_.data(),
                 .block_table = block_table_.data()};
  batch.logit_rows = {logit_rows_.data(), num_logit_rows};
  return batch;
}

}  // namespace phalanx
