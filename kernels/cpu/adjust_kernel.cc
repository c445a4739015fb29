#include "kernels/cpu/adjust_kernel.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

// What `adjusted` becomes; a logit that the model itself made infinite or NaN stays so.
float Bounded(float logit, float adjusted) {
  if (!std::isfinite(logit)) return logit;
  return std::clamp(adjusted, -kLargestAdjusted, kLargestAdjusted);
}

float Adjusted(float logit, const TokenAdjustment& token, const RowAdjustment& row) {
  if (token.has_bias == TokenAdjustment::Bias::kAdded) logit = Bounded(logit, logit + token.bias);
  if (token.seen == TokenAdjustment::Seen::kYes && row.repetition_penalty != 1.0F) {
    const float penalty = row.repetition_penalty;
    logit = Bounded(logit, logit < 0.0F ? logit * penalty : logit / penalty);
  }
  if (token.count > 0) {
    const float frequency = row.frequency_penalty * static_cast<float>(token.count);
    logit = Bounded(logit, logit - frequency);
    logit = Bounded(logit, logit - row.presence_penalty);
  }
  return logit;
}

// Most of a word's bits are usually equal.
void CloseMasked(std::span<const uint32_t> mask, int64_t first_id, std::span<float> row) {
  constexpr int64_t kBits = 32;
  const int64_t end_id = first_id + static_cast<int64_t>(row.size());
  PHALANX_CHECK_GE(static_cast<int64_t>(mask.size()) * kBits, end_id);
  for (int64_t id = first_id; id < end_id;) {
    const uint32_t word = mask[static_cast<size_t>(id / kBits)];
    const int64_t end = std::min((id / kBits + 1) * kBits, end_id);
    if (word == 0) {
      std::fill(row.begin() + (id - first_id), row.begin() + (end - first_id), kBanned);
    } else if (word != ~uint32_t{0}) {
      for (int64_t i = id; i < end; ++i) {
        if ((word >> (i % kBits) & 1) == 0) row[static_cast<size_t>(i - first_id)] = kBanned;
      }
    }
    id = end;
  }
}

}  // namespace

void AdjustRow(const RowAdjustment& adjustment, int64_t first_id, std::span<float> row) {
  if (adjustment.kept != nullptr) std::ranges::copy(row, adjustment.kept);
  // The column of an id; beyond the row where the row does not hold it.
  const auto column = [&](int32_t id) { return static_cast<size_t>(id - first_id); };
  for (const TokenAdjustment& token : adjustment.tokens) {
    const size_t c = column(token.id);
    if (c < row.size()) row[c] = Adjusted(row[c], token, adjustment);
  }
  if (!adjustment.mask.empty()) CloseMasked(adjustment.mask, first_id, row);
  for (const int32_t id : adjustment.bans) {
    if (column(id) < row.size()) row[column(id)] = kBanned;
  }
}

}  // namespace phalanx
