// Changes logits in place before tokens are chosen from them, for all rows of a step at once.
//
// For each of a row's `tokens`, in this order:
//   l[id] += bias                                     where it has a bias
//   l[id]  = l[id] < 0 ? l[id] * r : l[id] / r        where it was seen and r = repetition_penalty
//                                                     is not 1 (Keskar et al. 2019)
//   l[id] -= frequency_penalty * count                where count > 0
//   l[id] -= presence_penalty                         where count > 0
// and after each of these a finite l[id] is clamped to +-kLargestAdjusted; what was infinite or NaN
// stays so. Products and sums are float32, rounded one by one, so every device computes the same
// bits. Then l[id] = -inf for each id whose bit in `mask` is clear and for each of `bans`. Ids that
// the logits do not hold (column c is token first_id + c) are left out.
//
// A device with memory of its own keeps the tokens of each slot and is told of changes alone. An id
// keeps its index among `tokens` until all of them have changed, as when another sequence has the
// slot.
#pragma once

#include <cstdint>
#include <span>

namespace phalanx {

// Far beyond any logit, and still finite in float32 over the lowest temperature (1e-5): extreme
// parameters decide between tokens and never make infinities or NaN.
inline constexpr float kLargestAdjusted = 1e30F;

// Of a sequence. Its other adjusted tokens are those that it consists of.
inline constexpr int32_t kMaxBiases = 1024;

struct TokenAdjustment {
  int32_t id = 0;
  float bias = 0.0F;
  int32_t count = 0;  // occurrences in the output
  enum class Bias : uint8_t { kNone, kAdded } has_bias = Bias::kNone;
  enum class Seen : uint8_t { kNo, kYes } seen = Seen::kNo;  // in the prompt or the output
  bool operator==(const TokenAdjustment&) const = default;
};

struct RowAdjustment {
  int64_t row = 0;  // of the logits; each at most once
  int32_t slot = 0;
  std::span<const TokenAdjustment> tokens{};  // each id once
  // Indices into `tokens`, each once, of what is not as it was when the slot was adjusted last.
  std::span<const int32_t> changed{};
  float repetition_penalty = 1.0F;
  float frequency_penalty = 0.0F;
  float presence_penalty = 0.0F;
  // Of the whole vocabulary: bit `id % 32` of word id / 32. Empty: all set.
  std::span<const uint32_t> mask{};
  std::span<const int32_t> bans{};  // each once
  float* kept = nullptr;            // [cols] in the backend's memory: gets the row as it was
};

}  // namespace phalanx
