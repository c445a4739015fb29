// The last step of sampling: from the candidates of all vocabulary shards to one token. Pure; every
// rank runs it on the same bytes and so gets the same token.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "worker/sampling_params.h"

namespace phalanx {

// A token as ranks exchange it. `raw` is its logit before penalties, bias and bans.
struct TokenCandidate {
  int32_t id = -1;  // -1: no token
  float logit = 0.0F;
  float raw = 0.0F;
};

// One rank's best tokens: descending logits, ties by lower id; ends at id -1 or at its size.
struct CandidateList {
  std::span<const TokenCandidate> tokens;
  bool truncated = false;  // the rank holds more tokens than the list could take
};

// Merges the lists into the order of the whole vocabulary.
class CandidateMerge {
 public:
  explicit CandidateMerge(std::span<const CandidateList> lists);
  // The next best token. Empty at the end, which is exhausted() or, where a truncated list has run
  // out so that the next best is unknown, not.
  std::optional<TokenCandidate> Next();
  bool exhausted() const { return exhausted_; }

 private:
  std::span<const CandidateList> lists_;
  std::vector<size_t> next_;  // per list
  bool exhausted_ = false;
};

// The mass of the whole vocabulary from what each shard sums relative to its own maximum, in rank
// order.
struct ShardMass {
  float max = 0.0F;      // -inf: the shard holds nothing
  double sum_exp = 0.0;  // sum of exp((l - max) * inv_temperature)
};
struct TotalMass {
  double max = 0.0;
  double sum_exp = 0.0;  // relative to max
};
TotalMass CombineMass(std::span<const ShardMass> shards, double inv_temperature);

// Temperatures below this are greedy.
inline constexpr float kMinTemperature = 1e-5F;

// As the shards use it, in f32.
constexpr float InvTemperature(const SamplingParams& params) { return 1.0F / params.temperature; }

// Where min-p cuts when `best` is the largest logit: a token stays whose logit is at least this.
float MinLogit(float best, const SamplingParams& params);

constexpr bool IsGreedy(const SamplingParams& params) {
  return params.temperature < kMinTemperature;
}

enum class Coverage : uint8_t {
  kEnough,
  kNeedsFullRow,  // the top-p mass lies beyond the exact part of the lists
};

// What top-k, then top-p, then min-p keep, in descending order:
//   top-k: the k largest, ties by lower id
//   top-p: a token stays while the mass before it is below top_p of the mass left by top-k
//   min-p: a token stays whose probability is at least min_p times the largest
// `total_sum_exp`: mass of the whole vocabulary relative to its largest logit; read where top-k is
// off. At least the best token stays, unless there is none. Sources: Fan et al. 2018 (top-k),
// Holtzman et al. 2020 (top-p), Nguyen et al. 2024 (min-p), in the order and with the edges of
// Hugging Face transformers.
Coverage FilterCandidates(CandidateMerge& merge, const SamplingParams& params, double total_sum_exp,
                          std::vector<TokenCandidate>& kept);

// argmax of logit / T + Gumbel(seed, choice, index, id) over `kept`: an exact sample of its
// renormalised softmax. PHALANX_CHECKs that kept is not empty.
TokenCandidate ChooseByGumbel(std::span<const TokenCandidate> kept, const SamplingParams& params,
                              uint32_t index);

}  // namespace phalanx
