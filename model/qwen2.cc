// The Qwen2 forward pass (Qwen Team 2024, "Qwen2 Technical Report"), tensor-parallel as in
// Megatron-LM: two all-reduces a layer, after the attention's and the MLP's down projection.
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/cpus.h"
#include "model/model.h"
#include "model/rank_sum.h"
#include "model/rope_table.h"
#include "model/unclaimed_tensors.h"
#include "model/weight_loader.h"

namespace phalanx {
namespace {

// "5 tensors of the checkpoint not used: "a", "b", "c", "d" and 1 more"
std::string UnusedTensorsWarning(std::vector<std::string> names) {
  constexpr size_t kMaxShown = 4;
  const size_t shown = std::min(names.size(), kMaxShown);
  const size_t more = names.size() - shown;
  names.resize(shown);
  return fmt::format("{} of the checkpoint not used: \"{}\"{}",
                     shown + more == 1 ? "1 tensor" : fmt::format("{} tensors", shown + more),
                     fmt::join(names, "\", \""),
                     more > 0 ? fmt::format(" and {} more", more) : std::string());
}

// Everything that a step writes, allocated once.
class Activations {
 public:
  Status Allocate(Backend& backend, const Qwen2Config& config, const ShardSpec& shard,
                  const ModelOptions& options) {
    const int64_t rows = options.max_num_tokens;
    const int64_t logit_rows = options.max_num_logit_rows;
    const int64_t q_size = shard.heads.size() * config.head_dim;
    const int64_t kv_size = shard.kv_heads.size() * config.head_dim;
    MemoryPlan plan;
    const auto add = [&](TensorView& view, std::string_view name, DType dtype, int64_t r, int64_t c,
                         int64_t stride) {
      view = {nullptr, dtype, r, c, stride};
      plan.Add(name, static_cast<size_t>(r * stride) * SizeInBytes(dtype), &view.data);
    };
    // What is summed over ranks or read by the host is dense.
    const auto sum = [&](TensorView& view, std::string_view name, int64_t r, int64_t c) {
      add(view, name, DType::kF32, r, c, c);
    };
    // What matrix products read begins each row where wide loads may.
    const auto input = [&](TensorView& view, std::string_view name, int64_t r, int64_t c) {
      add(view, name, backend.activation_storage_dtype(), r, c, (c + 7) / 8 * 8);
    };
    const int64_t hidden = config.hidden_size;
    sum(residual, "residual stream", rows, hidden);
    sum(delta, "delta", rows, hidden);
    input(normed, "normed", rows, hidden);
    input(qkv, "qkv", rows, q_size + 2 * kv_size);
    input(q, "q", rows, q_size);
    input(attention, "attention", rows, q_size);
    input(mlp, "mlp", rows, shard.intermediate.size());
    sum(last_residual, "last residual", logit_rows, hidden);
    sum(last_delta, "last delta", logit_rows, hidden);
    input(last_normed, "last normed", logit_rows, hidden);
    sum(logits, "logits", logit_rows, shard.vocab.size());
    sum(kept_logits, "raw logits of adjusted rows", logit_rows, shard.vocab.size());
    PHALANX_ASSIGN_OR_RETURN(block_, backend.AllocateParts(plan));
    return OkStatus();
  }

  // The same buffers, cut to a step's rows.
  Activations Head(int64_t num_tokens, int64_t num_logit_rows) const {
    Activations cut;
    for (const auto member :
         {&Activations::residual, &Activations::normed, &Activations::delta, &Activations::qkv,
          &Activations::q, &Activations::attention, &Activations::mlp}) {
      cut.*member = (this->*member).Head(num_tokens);
    }
    for (const auto member : {&Activations::last_residual, &Activations::last_delta,
                              &Activations::last_normed, &Activations::logits}) {
      cut.*member = (this->*member).Head(num_logit_rows);
    }
    return cut;
  }

  TensorView residual;       // [num_tokens, hidden_size]
  TensorView delta;          // [num_tokens, hidden_size] what a sublayer adds to the residual
  TensorView normed;         // [num_tokens, hidden_size]
  TensorView qkv;            // [num_tokens, (heads_local + 2 kv_heads_local) * head_dim]
  TensorView q;              // [num_tokens, heads_local * head_dim]
  TensorView attention;      // [num_tokens, heads_local * head_dim]
  TensorView mlp;            // [num_tokens, intermediate_local]
  TensorView last_residual;  // [num_logit_rows, hidden_size]
  TensorView last_delta;     // [num_logit_rows, hidden_size]
  TensorView last_normed;    // [num_logit_rows, hidden_size]
  TensorView logits;         // [num_logit_rows, vocab_local]
  TensorView kept_logits;    // [max_num_logit_rows, vocab_local]

 private:
  std::unique_ptr<Buffer> block_;  // all of the above
};

class Qwen2ModelImpl final : public Qwen2Model {
 public:
  Qwen2ModelImpl(const Qwen2Config& config, const ModelOptions& options, Backend& backend,
                 Communicator& communicator)
      : config_(config),
        options_(options),
        backend_(backend),
        sum_over_ranks_(backend, communicator, options.device_collectives, options.numerics),
        shard_(MakeShardSpec(
            {config.num_heads, config.num_kv_heads, config.intermediate_size, config.vocab_size},
            communicator.rank(), communicator.size())),
        heads_{shard_.heads.size(), shard_.kv_heads.size(), config.head_dim, shard_.kv_head_of},
        eps_(static_cast<float>(config.rms_norm_eps)),
        scale_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(config.head_dim)))) {}

  Status Init(const std::filesystem::path& model_dir);
  StepLimits MaxStep() const;

  const Qwen2Config& config() const override { return config_; }
  const ShardSpec& shard() const override { return shard_; }
  int64_t weight_bytes() const override { return weights_.size_bytes; }

  KvCacheSpec KvSpec(int64_t num_blocks, int64_t block_size, DType dtype) const override {
    return {config_.num_layers,        num_blocks,       block_size,
            heads_.num_kv_heads_local, config_.head_dim, dtype};
  }
  Status CreateKvCache(const KvCacheSpec& spec) override {
    cache_.reset();
    PHALANX_ASSIGN_OR_RETURN(cache_, backend_.CreateKvCache(spec));
    return OkStatus();
  }

  StatusOr<TensorView> Forward(const ForwardBatch& batch) override;
  TensorView kept_logits() const override { return buffers_.kept_logits; }
  void SetTraceSink(TraceSink sink) override { trace_ = std::move(sink); }

 private:
  Status Attention(const Activations& a, const BatchView& batch, int64_t layer);
  Status Mlp(const Activations& a, int64_t layer);
  TensorView Logits(const Activations& a, std::span<const int32_t> rows);
  void Trace(std::string_view name, const TensorView& activation) const {
    if (!trace_) return;
    const TensorView host = backend_.HostView(activation);
    if (backend_.Finish().ok()) trace_(name, host);
  }
  void TraceLayer(std::string_view part, int64_t layer, const TensorView& activation) const {
    if (trace_) Trace(fmt::format("model.layers.{}{}", layer, part), activation);
  }
  // The residual stream after a layer exists only inside the next fused add and norm.
  Status TraceLayerOutput(const Activations& a, int64_t layer) const;

  Qwen2Config config_;
  ModelOptions options_;
  Backend& backend_;
  RankSum sum_over_ranks_;
  ShardSpec shard_;
  HeadLayout heads_;
  float eps_;
  float scale_;
  Qwen2Weights weights_;
  LazyRopeTable rope_;
  Activations buffers_;
  std::unique_ptr<KvCache> cache_;
  TraceSink trace_;
};

Status Qwen2ModelImpl::Init(const std::filesystem::path& model_dir) {
  PHALANX_CHECK_GT(options_.max_num_tokens, 0);
  PHALANX_CHECK_GT(options_.max_num_logit_rows, 0);
  const int64_t longest = MaxContextTokens(config_);
  if (options_.max_model_len == 0) options_.max_model_len = config_.max_position_embeddings;
  if (options_.max_model_len < 1 || options_.max_model_len > longest) {
    return InvalidField(
        "max_model_len", options_.max_model_len,
        fmt::format("1 to {}, as far as the model's position embedding reaches", longest));
  }
  WeightLoadOptions load;
  load.num_threads = options_.load_threads > 0 ? options_.load_threads : NumUsableCpus();
  load.dummy_seed = options_.dummy_seed;
  load.on_progress = options_.on_progress;
  load.should_stop = options_.should_stop;
  EmbeddingNames names;
  if (options_.load_format == LoadFormat::kDummy) {
    if (config_.tie_word_embeddings) names.lm_head = names.embedding;
    std::vector<WeightRow> table = BuildWeightTable(config_, shard_, names);
    SetQuantization(options_.quantization, table);
    // Dummy weights are floats, which become such integers as the checkpoint would have.
    for (WeightRow& row : table) row.stored = {};
    PHALANX_ASSIGN_OR_RETURN(weights_, LoadWeights(table, nullptr, config_.dtype, load, backend_));
  } else {
    PHALANX_ASSIGN_OR_RETURN(const Checkpoint checkpoint, Checkpoint::Open(model_dir));
    PHALANX_ASSIGN_OR_RETURN(names, ResolveEmbedding(checkpoint, config_));
    config_.tie_word_embeddings = names.tied();
    std::vector<WeightRow> table = BuildWeightTable(config_, shard_, names);
    SetQuantization(options_.quantization, table);
    PHALANX_ASSIGN_OR_RETURN(std::vector<std::string> unused,
                             FindUnclaimedTensors(checkpoint, table, config_, names));
    if (!unused.empty() && options_.on_warning) {
      options_.on_warning(UnusedTensorsWarning(std::move(unused)));
    }
    PHALANX_ASSIGN_OR_RETURN(weights_,
                             LoadWeights(table, &checkpoint, config_.dtype, load, backend_));
  }
  PHALANX_RETURN_IF_ERROR(
      rope_.Allocate(backend_, ComputeRopeFrequencies(config_), options_.max_model_len));
  PHALANX_RETURN_IF_ERROR(sum_over_ranks_.Allocate(options_.max_num_tokens * config_.hidden_size));
  PHALANX_RETURN_IF_ERROR(buffers_.Allocate(backend_, config_, shard_, options_));
  return backend_.PrepareSteps(MaxStep());
}

StepLimits Qwen2ModelImpl::MaxStep() const {
  const int64_t rows = options_.max_num_tokens;
  const int64_t block_size = options_.block_size;
  return {.max_num_tokens = rows,
          .max_num_seqs = options_.max_num_seqs > 0 ? options_.max_num_seqs : rows,
          .max_num_logit_rows = options_.max_num_logit_rows,
          .num_logit_cols = shard_.vocab.size(),
          .max_blocks_per_seq = (options_.max_model_len + block_size - 1) / block_size,
          .block_size = block_size,
          .heads = heads_,
          .max_host_floats = std::max(rows * config_.hidden_size, shard_.vocab.size())};
}

// ------------------------------------------------------------------------------------------------

StatusOr<TensorView> Qwen2ModelImpl::Forward(const ForwardBatch& batch) {
  const auto num_tokens = static_cast<int64_t>(batch.token_ids.size());
  const auto num_logit_rows = static_cast<int64_t>(batch.logit_rows.size());
  PHALANX_CHECK(cache_ != nullptr);
  PHALANX_CHECK_EQ(num_tokens, batch.batch.num_tokens);
  PHALANX_CHECK_LE(num_tokens, options_.max_num_tokens);
  PHALANX_CHECK_LE(num_logit_rows, options_.max_num_logit_rows);
  const Activations a = buffers_.Head(num_tokens, num_logit_rows);
  if (num_tokens > 0) {
    const int32_t* positions = batch.batch.positions;
    rope_.Reach(*std::max_element(positions, positions + num_tokens) + int64_t{1});
  }

  PHALANX_ASSIGN_OR_RETURN(const ForwardBatch inputs, backend_.Upload(batch));
  backend_.Embedding(inputs.token_ids, *weights_.embedding, shard_.vocab.begin, a.residual);
  PHALANX_RETURN_IF_ERROR(sum_over_ranks_(a.residual));
  Trace("model.embed_tokens", a.residual);

  for (int64_t i = 0; i < config_.num_layers; ++i) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(i)];
    if (i == 0) {
      backend_.RmsNorm(a.residual, w.input_norm.span(), eps_, a.normed);
    } else {
      backend_.AddRmsNorm(a.residual, a.delta, w.input_norm.span(), eps_, a.normed);
    }
    PHALANX_RETURN_IF_ERROR(Attention(a, inputs.batch, i));
    backend_.AddRmsNorm(a.residual, a.delta, w.post_attention_norm.span(), eps_, a.normed);
    PHALANX_RETURN_IF_ERROR(Mlp(a, i));
    if (trace_) PHALANX_RETURN_IF_ERROR(TraceLayerOutput(a, i));
  }
  return Logits(a, inputs.logit_rows);
}

// delta = o_proj(softmax(q k^T / sqrt(head_dim)) v), q, k, v = qkv_proj(normed), q and k rotated.
// A rank without heads adds exact zeros.
Status Qwen2ModelImpl::Attention(const Activations& a, const BatchView& batch, int64_t layer) {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  if (heads_.num_heads_local > 0) {
    backend_.Linear(a.normed, *w.qkv, w.qkv_bias.span(), a.qkv);
    backend_.QkvRopeAppend(a.qkv, batch, heads_, rope_.view(), layer, *cache_, a.q);
    backend_.PagedAttention(a.q, batch, heads_, scale_, layer, *cache_, a.attention);
  }
  backend_.Linear(a.attention, *w.o, {}, a.delta);
  PHALANX_RETURN_IF_ERROR(sum_over_ranks_(a.delta));
  TraceLayer(".self_attn", layer, a.delta);
  return OkStatus();
}

// delta = down_proj(silu(gate_proj(normed)) * up_proj(normed))
Status Qwen2ModelImpl::Mlp(const Activations& a, int64_t layer) {
  const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
  backend_.GateUpSwiglu(a.normed, *w.gate_up, a.mlp);
  backend_.Linear(a.mlp, *w.down, {}, a.delta);
  PHALANX_RETURN_IF_ERROR(sum_over_ranks_(a.delta));
  TraceLayer(".mlp", layer, a.delta);
  return OkStatus();
}

// The last add, the final norm and the LM head run only on the rows that are asked for.
TensorView Qwen2ModelImpl::Logits(const Activations& a, std::span<const int32_t> rows) {
  if (!rows.empty()) {
    backend_.GatherRows(a.residual, rows, a.last_residual);
    backend_.GatherRows(a.delta, rows, a.last_delta);
    backend_.AddRmsNorm(a.last_residual, a.last_delta, weights_.final_norm.span(), eps_,
                        a.last_normed);
    Trace("model.norm", a.last_normed);
    backend_.Linear(a.last_normed, weights_.head(), {}, a.logits);
    Trace("lm_head", a.logits);
  }
  return a.logits;
}

Status Qwen2ModelImpl::TraceLayerOutput(const Activations& a, int64_t layer) const {
  const auto bytes = static_cast<size_t>(a.residual.rows * a.residual.cols) * sizeof(float);
  PHALANX_ASSIGN_OR_RETURN(const auto buffer, backend_.Allocate(bytes, "trace"));
  const TensorView output =
      MakeTensor(buffer->data(), DType::kF32, a.residual.rows, a.residual.cols);
  backend_.Add(a.residual, a.delta, output);
  TraceLayer("", layer, output);
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<Qwen2Model>> Qwen2Model::Load(const std::filesystem::path& model_dir,
                                                       const Qwen2Config& config,
                                                       const ModelOptions& options,
                                                       Backend& backend,
                                                       Communicator& communicator) {
  auto model = std::make_unique<Qwen2ModelImpl>(config, options, backend, communicator);
  PHALANX_RETURN_IF_ERROR(model->Init(model_dir));
  return model;
}

}  // namespace phalanx
