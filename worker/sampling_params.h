// How the next token of one sequence is chosen. All fields resolved and validated; the same on
// every rank.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

inline constexpr int32_t kMaxLogprobs = 20;

// What else narrows a sequence's choices.
enum class Constraint : uint8_t {
  kNone,
  kMask,  // rank 0 sends a mask with each of its tokens (worker/token_masks.h)
};

struct SamplingParams {
  float temperature = 1.0F;  // 0: greedy
  int32_t top_k = 0;         // 0: off
  float top_p = 1.0F;        // 1: off
  float min_p = 0.0F;        // 0: off
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  float repetition_penalty = 1.0F;
  std::vector<std::pair<int32_t, float>> logit_bias;  // ascending ids
  std::vector<int32_t> allowed_token_ids;             // ascending; empty: all
  std::vector<std::vector<int32_t>> bad_words;        // token sequences that are never completed
  uint64_t seed = 0;
  uint32_t choice = 0;
  int32_t max_tokens = 16;
  int32_t min_tokens = 0;
  std::vector<int32_t> stop_token_ids;  // ascending; includes no eos
  std::vector<int32_t> eos_token_ids;   // ascending; empty under ignore_eos
  int32_t logprobs = -1;                // -1: none
  int32_t prompt_logprobs = -1;         // -1: none
  Constraint constraint = Constraint::kNone;
  bool operator==(const SamplingParams&) const = default;
};

// What a rank relies on: ids in [0, vocab_size) and ascending where said so, floats finite and
// within their mathematical range, counts not negative. Tighter limits for clients are the front's.
// INVALID_ARGUMENT naming the field, the value and what is allowed.
Status Validate(const SamplingParams& params, int32_t vocab_size);

}  // namespace phalanx
