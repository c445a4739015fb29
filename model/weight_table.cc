#include "model/weight_table.h"

#include <algorithm>
#include <cmath>

namespace phalanx {
namespace {

Range Scaled(Range range, int64_t unit) { return {range.begin * unit, range.end * unit}; }

}  // namespace

std::vector<int64_t> WeightRow::shape() const {
  return role == Role::kMatrix ? std::vector<int64_t>{rows, cols} : std::vector<int64_t>{rows};
}

Range WeightRow::read_cols() const {
  const Range local = local_cols();
  if (!quantization.is_quantized() || local.size() == 0) return local;
  const int64_t group = quantization.group_size;
  if (stored.form == StoredIntegers::Form::kInts && group == 0) return local;
  if (stored.form == StoredIntegers::Form::kPacked && group == 0) {
    const int64_t word = 32 / stored.bits;  // values
    return {local.begin / word * word, std::min((local.end + word - 1) / word * word, cols)};
  }
  if (group == 0) return {0, cols};
  return {local.begin / group * group, std::min((local.end + group - 1) / group * group, cols)};
}

DummyDistribution WeightRow::dummy_distribution() const {
  switch (role) {
    case Role::kMatrix:
      return {0.0F, static_cast<float>(std::sqrt(3.0 / static_cast<double>(cols)))};
    case Role::kNorm:
      return {1.0F, 0.25F};
    case Role::kBias:
      return {0.0F, 0.25F};
  }
  return {};
}

std::vector<WeightRow> BuildWeightTable(const Qwen2Config& config, const ShardSpec& shard,
                                        const EmbeddingNames& names) {
  using enum WeightRow::Role;
  using enum SplitAxis;
  using enum WeightSlot;
  const int64_t hidden = config.hidden_size;
  const int64_t ffn = config.intermediate_size;
  const int64_t q_size = config.num_heads * config.head_dim;
  const int64_t kv_size = config.num_kv_heads * config.head_dim;
  const Range q = Scaled(shard.heads, config.head_dim);
  const Range kv = Scaled(shard.kv_heads, config.head_dim);
  const Range mlp = shard.intermediate;
  const int64_t k_row = q.size();
  const int64_t v_row = q.size() + kv.size();

  std::vector<WeightRow> table;
  table.push_back(
      {names.embedding, kMatrix, config.vocab_size, hidden, kOutput, shard.vocab, -1, kEmbedding});
  if (!names.tied()) {
    table.push_back(
        {names.lm_head, kMatrix, config.vocab_size, hidden, kOutput, shard.vocab, -1, kLmHead});
  }
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const auto name = [i](std::string_view tensor) {
      return fmt::format("model.layers.{}.{}", i, tensor);
    };
    const std::vector<WeightRow> layer = {
        {name("input_layernorm.weight"), kNorm, hidden, 1, kNone, {}, i, kInputNorm},
        {name("self_attn.q_proj.weight"), kMatrix, q_size, hidden, kOutput, q, i, kQkv},
        {name("self_attn.k_proj.weight"), kMatrix, kv_size, hidden, kOutput, kv, i, kQkv, k_row},
        {name("self_attn.v_proj.weight"), kMatrix, kv_size, hidden, kOutput, kv, i, kQkv, v_row},
        {name("self_attn.q_proj.bias"), kBias, q_size, 1, kOutput, q, i, kQkvBias},
        {name("self_attn.k_proj.bias"), kBias, kv_size, 1, kOutput, kv, i, kQkvBias, k_row},
        {name("self_attn.v_proj.bias"), kBias, kv_size, 1, kOutput, kv, i, kQkvBias, v_row},
        {name("self_attn.o_proj.weight"), kMatrix, hidden, q_size, kInput, q, i, kO},
        {name("post_attention_layernorm.weight"),
         kNorm,
         hidden,
         1,
         kNone,
         {},
         i,
         kPostAttentionNorm},
        {name("mlp.gate_proj.weight"), kMatrix, ffn, hidden, kOutput, mlp, i, kGateUp},
        {name("mlp.up_proj.weight"), kMatrix, ffn, hidden, kOutput, mlp, i, kGateUp, mlp.size()},
        {name("mlp.down_proj.weight"), kMatrix, hidden, ffn, kInput, mlp, i, kDown},
    };
    table.insert(table.end(), layer.begin(), layer.end());
  }
  for (WeightRow& row : table) {
    if (row.role != kMatrix || row.layer < 0 || !config.stored.is_integer()) continue;
    row.stored = config.stored;
    row.quantization = {.bits = row.stored.bits,
                        .group_size = row.stored.group_size,
                        .first_feature = row.local_cols().begin};
  }
  table.push_back({"model.norm.weight", kNorm, hidden, 1, kNone, {}, -1, kFinalNorm});
  return table;
}

}  // namespace phalanx
