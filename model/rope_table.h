// cos and sin of the rotary embedding, as transformers' modeling_rope_utils computes them: the
// inverse frequencies and the angles in float32, so that logits agree at long positions too.
//
//   inv_freq[i] = theta^(-2i / head_dim), then scaled (linear: Chen et al. 2023, position
//   interpolation; yarn: Peng et al. 2023; llama3: Llama 3.1)
//   cos[p, i] = cos(p * inv_freq[i]) * attention_factor, sin likewise
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "model/config.h"

namespace phalanx {

struct RopeFrequencies {
  std::vector<float> inv_freq;  // [head_dim / 2]
  float attention_factor = 1.0F;
};

RopeFrequencies ComputeRopeFrequencies(const Qwen2Config& config);

// The table of one model. A context of a million positions takes a second and half a gigabyte to
// fill, and few sequences go that far: only as much is computed, and only as much of the memory is
// touched, as positions have come.
class LazyRopeTable {
 public:
  // `backend` outlives the table.
  Status Allocate(Backend& backend, RopeFrequencies frequencies, int64_t num_positions);
  // Fills positions [0, end), and some more, where they are not yet there.
  void Reach(int64_t end);
  const RopeTable& view() const { return view_; }  // valid as far as Reach() went
  int64_t num_filled() const { return num_filled_; }

 private:
  Backend* backend_ = nullptr;
  RopeFrequencies frequencies_;
  std::unique_ptr<Buffer> buffer_;  // cos, then sin
  RopeTable view_;
  int64_t num_filled_ = 0;
};

}  // namespace phalanx
