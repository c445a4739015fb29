// Which tokens the constrained sequences of one step may say next: made by rank 0 from their
// grammars, broadcast, used by every rank on the columns that it holds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

// Rows in the order of the step plan's constrained sequences.
class TokenMasks {
 public:
  explicit TokenMasks(int64_t vocab_size);

  void Clear() { bytes_.clear(); }
  // A row to be filled: bit `id % 32` of word id / 32 is set where token `id` may come next.
  std::span<uint32_t> Add();
  size_t size() const { return bytes_.size() / row_bytes(); }
  std::span<const uint32_t> row(size_t i) const;

  // What is broadcast. After a broadcast into it, OK if it holds `num_rows` rows.
  std::string& bytes() { return bytes_; }
  Status CheckSize(size_t num_rows) const;

 private:
  size_t row_bytes() const { return num_words_ * sizeof(uint32_t); }

  size_t num_words_;
  std::string bytes_;
};

}  // namespace phalanx
