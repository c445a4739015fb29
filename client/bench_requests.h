// The requests of a serving benchmark: random tokens, of lengths as vLLM's random dataset has them.
#pragma once

#include <cstdint>
#include <vector>

#include "phalanx/v1/inference.pb.h"

namespace phalanx {

struct BenchLoad {
  int32_t num_prompts = 64;
  int32_t prefix_tokens = 0;  // that all prompts begin with, besides their own
  int32_t prompt_tokens = 128;
  int32_t output_tokens = 64;
  // Lengths of prompts and answers are spread evenly from (1 - ratio) to (1 + ratio) times those,
  // in whole tokens, at least one; 0: all alike.
  double range_ratio = 0;
  double temperature = 0;
  uint64_t seed = 0;  // equal seeds give equal requests
};

// Ids of 0 to vocab_size - 1. The prefix apart, prompts share nothing; a server that lacks one of
// the ids says so.
std::vector<v1::GenerateRequest> MakeBenchRequests(const BenchLoad& load, int32_t vocab_size);

}  // namespace phalanx
