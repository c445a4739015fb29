// Steps over a paged cache, for tests and benchmarks of rope and attention.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/attention.h"
#include "tests/testing/inputs.h"

namespace phalanx::testing {

// Rows [first, first + count) of one sequence.
struct Chunk {
  int32_t seq = 0;
  int32_t first = 0;
  int32_t count = 0;
};

// Owns what a BatchView points to. Sequence s uses blocks scattered over the whole pool.
class PagedBatch {
 public:
  PagedBatch(const std::vector<Chunk>& chunks, int64_t num_seqs_of_pool, int64_t max_tokens,
             int64_t block_size) {
    blocks_per_seq_ = (max_tokens + block_size - 1) / block_size;
    std::vector<int32_t> pool(static_cast<size_t>(num_seqs_of_pool * blocks_per_seq_));
    std::iota(pool.begin(), pool.end(), 0);
    std::shuffle(pool.begin(), pool.end(), Generator(99));
    row_start_.push_back(0);
    for (size_t i = 0; i < chunks.size(); ++i) {
      const Chunk& chunk = chunks[i];
      for (int32_t t = 0; t < chunk.count; ++t) {
        positions_.push_back(chunk.first + t);
        seq_of_token_.push_back(static_cast<int32_t>(i));
      }
      row_start_.push_back(static_cast<int32_t>(positions_.size()));
      // Blocks that the sequence has not reached are named by no valid number.
      const int64_t used = (chunk.first + chunk.count + block_size - 1) / block_size;
      for (int64_t b = 0; b < blocks_per_seq_; ++b) {
        table_.push_back(b < used ? pool[static_cast<size_t>(chunk.seq * blocks_per_seq_ + b)]
                                  : -1);
      }
    }
  }

  static int64_t NumBlocks(int64_t num_seqs, int64_t max_tokens, int64_t block_size) {
    return num_seqs * ((max_tokens + block_size - 1) / block_size);
  }

  BatchView view() const {
    return {.num_tokens = static_cast<int64_t>(positions_.size()),
            .num_seqs = static_cast<int64_t>(row_start_.size()) - 1,
            .max_blocks_per_seq = blocks_per_seq_,
            .positions = positions_.data(),
            .seq_of_token = seq_of_token_.data(),
            .row_start = row_start_.data(),
            .block_table = table_.data()};
  }

 private:
  int64_t blocks_per_seq_ = 0;
  std::vector<int32_t> positions_;
  std::vector<int32_t> seq_of_token_;
  std::vector<int32_t> row_start_;
  std::vector<int32_t> table_;
};

}  // namespace phalanx::testing
