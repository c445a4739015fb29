// Fills one rank's weights from a checkpoint or from the dummy generator: one loop over the weight
// table.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "model/safetensors.h"
#include "model/weight_table.h"

namespace phalanx {

// f32 values in the backend's memory.
class DeviceVector {
 public:
  DeviceVector() = default;
  DeviceVector(std::unique_ptr<Buffer> buffer, int64_t size)
      : buffer_(std::move(buffer)), size_(size) {}
  std::span<const float> span() const {
    return {static_cast<const float*>(buffer_->data()), static_cast<size_t>(size_)};
  }
  float* data() const { return static_cast<float*>(buffer_->data()); }
  int64_t size_bytes() const { return size_ * static_cast<int64_t>(sizeof(float)); }

 private:
  std::unique_ptr<Buffer> buffer_;
  int64_t size_ = 0;
};

struct LayerWeights {
  DeviceVector input_norm;                // [hidden_size]
  std::unique_ptr<PackedWeight> qkv;      // [(heads + 2 kv_heads)_local * head_dim, hidden_size]
  DeviceVector qkv_bias;                  // [(heads + 2 kv_heads)_local * head_dim]
  std::unique_ptr<PackedWeight> o;        // [hidden_size, heads_local * head_dim]
  DeviceVector post_attention_norm;       // [hidden_size]
  std::unique_ptr<PackedWeight> gate_up;  // [2 * intermediate_local, hidden_size], kGateUp
  std::unique_ptr<PackedWeight> down;     // [hidden_size, intermediate_local]
};

struct Qwen2Weights {
  std::unique_ptr<PackedWeight> embedding;  // [vocab_local, hidden_size]
  std::unique_ptr<PackedWeight> lm_head;    // [vocab_local, hidden_size]; null: tied
  DeviceVector final_norm;                  // [hidden_size]
  std::vector<LayerWeights> layers;
  int64_t size_bytes = 0;  // resident

  const PackedWeight& head() const { return lm_head ? *lm_head : *embedding; }
};

struct WeightLoadOptions {
  int num_threads = 1;
  uint64_t dummy_seed = 0;
  // Called from the loading threads, one at a time, about every 1 % of the bytes.
  std::function<void(int64_t done_bytes, int64_t total_bytes)> on_progress;
  // Asked by every loading thread before each chunk; true ends the loading with CANCELLED.
  std::function<bool()> should_stop;
};

// A null `checkpoint` makes dummy weights of dtype `dummy_dtype`. Every tensor is found and checked
// before anything is allocated. A slot whose tensors differ in dtype is kept in F32. Errors name
// the file and the tensor, and show what was expected and what was found; NaN and infinity in a
// weight are refused with their position.
StatusOr<Qwen2Weights> LoadWeights(const std::vector<WeightRow>& table,
                                   const Checkpoint* checkpoint, DType dummy_dtype,
                                   const WeightLoadOptions& options, Backend& backend);

// Which tensors hold the embedding and the LM head, decided as transformers does: tied where the
// config says so, unless the checkpoint has both with different values; where only one of the two
// is there, that one.
StatusOr<EmbeddingNames> ResolveEmbedding(const Checkpoint& checkpoint, const Qwen2Config& config);

}  // namespace phalanx
