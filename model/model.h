// One rank's share of a Qwen2 model: weights, KV cache and the forward pass.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "kernels/backend.h"
#include "kernels/numerics.h"
#include "model/config.h"
#include "model/quantize.h"
#include "parallel/communicator.h"
#include "parallel/device_collectives.h"
#include "parallel/shard_spec.h"

namespace phalanx {

enum class LoadFormat : uint8_t {
  kSafetensors,
  kDummy,  // seeded random weights of the config's shape, no file read; the same model whatever the
           // number of ranks
};

struct ModelOptions {
  LoadFormat load_format = LoadFormat::kSafetensors;
  uint64_t dummy_seed = 0;
  Quantization quantization = Quantization::kNone;  // of the weights as they are read
  int64_t max_num_tokens = 512;                     // rows of one step
  int64_t max_num_logit_rows = 64;
  int64_t max_num_seqs = 0;   // of one step; 0: as many as it has rows
  int64_t block_size = 16;    // of the KV cache
  int64_t max_model_len = 0;  // rope table; 0: the config's max_position_embeddings
  int load_threads = 0;       // 0: as many as usable cores
  std::function<void(int64_t done_bytes, int64_t total_bytes)> on_progress;
  std::function<bool()> should_stop;  // WeightLoadOptions
  // How partial results are summed over ranks (model/rank_sum.h); null: by the communicator.
  DeviceCollectives* device_collectives = nullptr;
  Numerics numerics = Numerics::kExact;
  // Told once, while loading, of tensors that the checkpoint has and the model does not use.
  std::function<void(std::string_view warning)> on_warning;
};

// Called with each layer's output for debugging: name as in transformers' module path, [num_tokens,
// hidden_size].
using TraceSink = std::function<void(std::string_view name, const TensorView& activation)>;

class Qwen2Model {
 public:
  // Reads the rank's shard of the checkpoint (or makes dummy weights). Backend, communicator and
  // what the options point to must outlive the model.
  static StatusOr<std::unique_ptr<Qwen2Model>> Load(const std::filesystem::path& model_dir,
                                                    const Qwen2Config& config,
                                                    const ModelOptions& options, Backend& backend,
                                                    Communicator& communicator);
  virtual ~Qwen2Model() = default;

  virtual const Qwen2Config& config() const = 0;
  virtual const ShardSpec& shard() const = 0;
  virtual int64_t weight_bytes() const = 0;  // resident on this rank

  // What one block of this rank's KV cache costs; the pool is created once its size is agreed, in
  // place of one before it.
  virtual KvCacheSpec KvSpec(int64_t num_blocks, int64_t block_size, DType dtype) const = 0;
  virtual Status CreateKvCache(const KvCacheSpec& spec) = 0;

  // Runs one step on all ranks together. The result, [logit_rows.size(), vocab_local] f32 in the
  // backend's memory, holds columns shard().vocab and is valid until the next call; it is there
  // when the backend has finished what is enqueued. Errors are the communicator's, the collectives'
  // and the backend's.
  virtual StatusOr<TensorView> Forward(const ForwardBatch& batch) = 0;

  // [max_num_logit_rows, vocab_local] f32 in the backend's memory that no step writes: for those
  // who change logits and need them as they were.
  virtual TensorView kept_logits() const = 0;

  virtual void SetTraceSink(TraceSink sink) = 0;
};

}  // namespace phalanx
