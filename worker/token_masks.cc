#include "worker/token_masks.h"

#include "kernels/base/check.h"

namespace phalanx {

TokenMasks::TokenMasks(int64_t vocab_size)
    : num_words_(static_cast<size_t>((vocab_size + 31) / 32)) {}

std::span<uint32_t> TokenMasks::Add() {
  const size_t begin = bytes_.size();
  bytes_.resize(begin + row_bytes());
  return {reinterpret_cast<uint32_t*>(bytes_.data() + begin), num_words_};
}

std::span<const uint32_t> TokenMasks::row(size_t i) const {
  PHALANX_CHECK_LT(i, size());
  return {reinterpret_cast<const uint32_t*>(bytes_.data() + i * row_bytes()), num_words_};
}

Status TokenMasks::CheckSize(size_t num_rows) const {
  if (bytes_.size() == num_rows * row_bytes()) return OkStatus();
  return InternalError("token masks: {} bytes came, expected {} rows of {}", bytes_.size(),
                       num_rows, row_bytes());
}

}  // namespace phalanx
