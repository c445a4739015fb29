// The sampler over vocabulary shards, and a naive oracle over whole rows in transformers' order.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "worker/sampler.h"

namespace phalanx {

inline constexpr int32_t kVocab = 1000;  // no multiple of the shard unit
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Row = std::vector<float>;

// Normal logits with this standard deviation.
Row RandomRow(uint32_t seed, float spread = 3.0F, int32_t vocab = kVocab);

// Words of every kind: all bits clear, all set, and mixed ones.
std::vector<uint32_t> RandomMask(std::mt19937& random);

struct Case {
  SlotInit init;
  Row logits;
  std::vector<uint32_t> mask = {};  // with Constraint::kMask
};

struct GroupSetup {
  int ranks = 1;
  int32_t vocab = kVocab;
  int32_t top_p_candidates = 1024;
  int num_steps = 1;  // the same logits again, with the tokens sampled so far in the state
  std::string device = "cpu";
};

// All cases in one batch; result [step][case]. Fails the current test where ranks differ.
std::vector<std::vector<SampleResult>> RunSampler(const GroupSetup& setup, std::vector<Case> cases);
int32_t SampleOne(const GroupSetup& setup, const Case& one);

// The oracle: the adjusted row, and the tokens that may be chosen with their probabilities.
Row Adjusted(const Case& one);
std::map<int32_t, double> Distribution(const Case& one);

// Draws `count` tokens with rising seeds, in batches.
std::map<int32_t, int> Draw(const GroupSetup& setup, const Case& one, int count);
// Chi-square against `expected`; rare tokens are pooled. Fails beyond 5 standard deviations.
void ExpectFits(const std::map<int32_t, int>& drawn, const std::map<int32_t, double>& expected);

}  // namespace phalanx
