#include "worker/largest_step.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace phalanx {
namespace {

// Enough for the kernels of single tokens beside those of prompts.
constexpr int64_t kMostSeqs = 16;

// Rows of each sequence: one at least, the rest to the first ones.
std::vector<int64_t> RowsOfSequences(const LargestStep& step) {
  const int64_t num_seqs = std::min({kMostSeqs, step.max_num_seqs, step.max_num_tokens});
  std::vector<int64_t> rows(static_cast<size_t>(num_seqs), 1);
  int64_t left = step.max_num_tokens - num_seqs;
  for (int64_t& count : rows) {
    const int64_t more = std::min(left, step.max_model_len - 1);
    count += more;
    left -= more;
  }
  return rows;
}

}  // namespace

Status RunLargestStep(const LargestStep& step, Qwen2Model& model) {
  const std::vector<int64_t> rows = RowsOfSequences(step);
  const int64_t longest = *std::max_element(rows.begin(), rows.end());
  const int64_t blocks_per_seq = (longest + step.block_size - 1) / step.block_size;
  std::vector<int32_t> positions;
  std::vector<int32_t> seq_of_token;
  std::vector<int32_t> row_start = {0};
  std::vector<int32_t> block_table(rows.size() * static_cast<size_t>(blocks_per_seq), 0);
  int32_t num_blocks = 0;
  for (size_t s = 0; s < rows.size(); ++s) {
    for (int64_t i = 0; i < rows[s]; ++i) {
      positions.push_back(static_cast<int32_t>(i));
      seq_of_token.push_back(static_cast<int32_t>(s));
      if (i % step.block_size == 0) {
        block_table[s * static_cast<size_t>(blocks_per_seq) +
                    static_cast<size_t>(i / step.block_size)] = num_blocks++;
      }
    }
    row_start.push_back(static_cast<int32_t>(positions.size()));
  }
  const std::vector<int32_t> ids(positions.size(), 0);
  const auto num_rows = static_cast<int64_t>(ids.size());
  std::vector<int32_t> logit_rows(static_cast<size_t>(std::min(step.max_num_logit_rows, num_rows)));
  std::iota(logit_rows.begin(), logit_rows.end(),
            static_cast<int32_t>(num_rows) - static_cast<int32_t>(logit_rows.size()));

  const KvCacheSpec spec = model.KvSpec(num_blocks, step.block_size, step.kv_dtype);
  PHALANX_RETURN_IF_ERROR(model.CreateKvCache(spec).WithContext("largest step"));
  return model
      .Forward({.token_ids = ids,
                .batch = {.num_tokens = num_rows,
                          .num_seqs = static_cast<int64_t>(rows.size()),
                          .max_blocks_per_seq = blocks_per_seq,
                          .positions = positions.data(),
                          .seq_of_token = seq_of_token.data(),
                          .row_start = row_start.data(),
                          .block_table = block_table.data()},
                .logit_rows = logit_rows})
      .status()
      .WithContext("largest step");
}

}  // namespace phalanx
