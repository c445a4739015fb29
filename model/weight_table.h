// Which tensors a Qwen2 checkpoint has, how each is split over the ranks, and where a rank puts its
// part: one row per tensor. Loading (model/weight_loader.h) is one loop over this table.
//
//   tensor                     full shape                            split    part of the ShardSpec
//   model.embed_tokens.weight  [vocab_size, hidden_size]             output   vocab
//   lm_head.weight             [vocab_size, hidden_size]             output   vocab    (untied
//   only) model.norm.weight          [hidden_size]                         none model.layers.L.
//     input_layernorm.weight   [hidden_size]                         none
//     self_attn.q_proj.weight  [num_heads * head_dim, hidden_size]   output   heads
//     self_attn.k_proj.weight  [num_kv_heads * head_dim, hidden]     output   kv_heads    (v alike)
//     self_attn.q_proj.bias    [num_heads * head_dim]                output   heads     (k, v
//     alike) self_attn.o_proj.weight  [hidden_size, num_heads * head_dim]   input    heads
//     post_attention_layernorm.weight  [hidden_size]                 none
//     mlp.gate_proj.weight     [intermediate_size, hidden_size]      output   intermediate (up
//     alike) mlp.down_proj.weight     [hidden_size, intermediate_size]      input    intermediate
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/packed_weight.h"
#include "model/compressed_tensors.h"
#include "model/config.h"
#include "model/dummy_weights.h"
#include "parallel/shard_spec.h"

namespace phalanx {

enum class SplitAxis : uint8_t { kNone, kOutput, kInput };

// Where a tensor goes. Several tensors may share a slot, one below the other: q, k and v; gate and
// up.
enum class WeightSlot : uint8_t {
  kEmbedding,
  kLmHead,
  kFinalNorm,
  kInputNorm,
  kQkv,
  kQkvBias,
  kO,
  kPostAttentionNorm,
  kGateUp,
  kDown,
};

struct WeightRow {
  enum class Role : uint8_t { kMatrix, kNorm, kBias };
  std::string name;  // in the checkpoint
  Role role = Role::kMatrix;
  int64_t rows = 0;  // full shape: [rows, cols], or [rows] with cols = 1 for norms and biases
  int64_t cols = 1;
  SplitAxis axis = SplitAxis::kNone;
  Range slice{};       // this rank's part along the axis, in elements; unused for kNone
  int64_t layer = -1;  // -1: outside the layers
  WeightSlot slot = WeightSlot::kEmbedding;
  int64_t first_row = 0;  // of the slot, where this rank's part begins
  WeightQuantization quantization{};
  StoredIntegers stored{};  // in the checkpoint

  std::vector<int64_t> shape() const;
  Range local_rows() const { return axis == SplitAxis::kOutput ? slice : Range{0, rows}; }
  Range local_cols() const { return axis == SplitAxis::kInput ? slice : Range{0, cols}; }
  // What this rank reads: where it is to be quantized, all of each group of which it has a part;
  // of packed integers whole words.
  Range read_cols() const;
  DummyDistribution dummy_distribution() const;
};

// Names of the tensors that hold the embedding and the LM head; equal where they are tied.
struct EmbeddingNames {
  std::string embedding = "model.embed_tokens.weight";
  std::string lm_head = "lm_head.weight";
  bool tied() const { return embedding == lm_head; }
};

std::vector<WeightRow> BuildWeightTable(const Qwen2Config& config, const ShardSpec& shard,
                                        const EmbeddingNames& names);

}  // namespace phalanx
