// Reduces one rank's logits to what sampling needs to know, so that full rows never cross ranks.
//
// For each task, over the columns of its logits row (column c is token first_id + c):
//   max          = max_c l[c];  sum_exp = sum_c exp((l[c] - max) * inv_temperature)
//   candidates   = the top_k largest (ties: lower id first), in descending order
//   gumbel       = argmax_c (l[c] * inv_temperature + g(seed, choice, index, id)),   ties: lower id
// where g is a standard Gumbel variate: the argmax over all tokens, whatever the sharding, is an
// exact sample of softmax(l / T) (the Gumbel-max trick, Gumbel 1954; Maddison et al. 2014). It
// comes from the counter-based generator Philox4x32-10 (Salmon et al. 2011) with key (seed low,
// seed high) and counter (token id, index, choice, 0): w is the first word, v = (w + 1/2) / 2^32
// and g = -log(-log(1 - v)), evaluated in float32 by the exact steps of GumbelVariate. The score is
// float32 too, one rounding for the product and one for the sum, so every shard, vector length and
// instruction set computes the same bits and the winner is the same however the vocabulary is cut.
//
// Entries of -inf are never chosen; +inf and NaN do not occur in valid logits: `num_nan` counts
// them so that the caller can fail the request, and otherwise they count as -inf. A rank may hold
// no column: max = -inf, sum_exp = 0, nothing chosen (id -1, score -inf). sum_exp is accumulated in
// a fixed order that depends only on the number of columns; its last bits differ between devices,
// all else has the same bits everywhere.
#pragma once

#include <cstdint>
#include <vector>

namespace phalanx {

struct Candidate {
  int32_t id = -1;
  float logit = 0.0F;
};

// What top-p asks of each shard: as many as hold nearly all of the mass.
inline constexpr int32_t kTopPCandidates = 1024;

struct CandidateTask {
  int64_t row = 0;               // row of the logits
  int32_t top_k = 0;             // 0: none wanted
  float inv_temperature = 1.0F;  // > 0
  enum class Gumbel : uint8_t { kNone, kWanted } gumbel = Gumbel::kNone;
  uint64_t seed = 0;
  uint32_t choice = 0;                 // which of the n choices
  uint32_t index = 0;                  // output index of the token to sample
  float min_logit = -3.402823466e38F;  // the Gumbel argmax considers only logits >= min_logit
  int32_t target = -1;                 // a token whose logit is wanted
  // [cols] in the backend's memory: the row before it was adjusted, of which the chosen tokens'
  // logits are wanted; or null.
  const float* raw = nullptr;
};

struct CandidateResult {
  float max = 0.0F;
  double sum_exp = 0.0;
  int64_t num_nan = 0;
  Candidate gumbel{};
  double gumbel_score = 0.0;
  float target_logit = 0.0F;            // 0 where the rank does not hold the target
  std::vector<Candidate> candidates{};  // capacity is reused between calls
  // Where the task has a raw row: the same tokens' logits there.
  float gumbel_raw = 0.0F;
  std::vector<float> raw{};  // of the candidates; else empty
};

// The Gumbel variate of one token, the scalar reference of the definition above.
double GumbelVariate(uint64_t seed, uint32_t choice, uint32_t index, int32_t token_id);

}  // namespace phalanx
