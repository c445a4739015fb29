// cos and sin of the rotary embedding, as transformers' modeling_rope_utils computes them: the
// inverse frequencies and the angles in float32, so that logits agree at long positions too.
//
//   inv_freq[i] = theta^(-2i / head_dim), then scaled (linear: Chen et al. 2023, position
//   interpolation; yarn: Peng et al. 2023; llama3: Llama 3.1)
//   cos[p, i] = cos(p * inv_freq[i]) * attention_factor, sin likewise
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace phalanx {

struct RopeFrequencies {
  std::vector<float> inv_freq;  // [head_dim / 2]
  float attention_factor = 1.0F;
};

RopeFrequencies ComputeRopeFrequencies(const Qwen2Config& config);

// cos and sin: [num_positions, head_dim / 2].
void FillRopeTable(const RopeFrequencies& frequencies, int64_t num_positions, float* cos,
                   float* sin);

}  // namespace phalanx
