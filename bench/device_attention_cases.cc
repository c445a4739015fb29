#include "bench/device_attention_cases.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "bench/device_matrix.h"
#include "tests/kernels/paged_batch.h"
#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

constexpr int64_t kBlockSize = 16;
// Rows of queries, keys and values; no multiple of a block.
constexpr int64_t kPatternRows = 61;

// A step over a cache. Row t of sequence s has row (s + t) % kPatternRows of a pattern as its
// queries, keys and values.
class AttentionStep {
 public:
  static StatusOr<std::shared_ptr<AttentionStep>> Create(const DeviceBench& bench,
                                                         const DeviceAttentionShape& shape);
  // Appends every sequence's context to every layer.
  Status FillCache();

  int64_t rows() const { return shape_.num_seqs * shape_.new_tokens; }
  int64_t q_cols() const { return shape_.num_heads * shape_.head_dim; }
  int64_t qkv_cols() const {
    return (shape_.num_heads + 2 * shape_.num_kv_heads) * shape_.head_dim;
  }
  int64_t num_layers() const { return cache_->spec().num_layers; }

  Status RunRope(int64_t run) {
    backend_.QkvRopeAppend(qkv_->view(0), batch_.batch, Heads(), Rope(*cos_, *sin_),
                           run % num_layers(), *cache_, out_->view(0));
    return OkStatus();
  }
  StatusOr<std::string> CheckRope();
  Status RunAttention(int64_t run) {
    backend_.PagedAttention(q_->view(0), batch_.batch, Heads(), Scale(), run % num_layers(),
                            *cache_, out_->view(0));
    return OkStatus();
  }
  // The last row of the first and of the last sequence, some heads.
  StatusOr<std::string> CheckAttention();

 private:
  AttentionStep(Backend& backend, const DeviceAttentionShape& shape)
      : backend_(backend), shape_(shape) {
    for (int64_t h = 0; h < shape.num_heads; ++h) {
      kv_head_of_.push_back(static_cast<int32_t>(h * shape.num_kv_heads / shape.num_heads));
    }
  }

  Status Prepare(const DeviceBench& bench);
  Status FillInputs();
  // Uploads a step of these rows.
  Status Upload(const std::vector<testing::Chunk>& chunks);
  HeadLayout Heads() const {
    return {shape_.num_heads, shape_.num_kv_heads, shape_.head_dim, kv_head_of_};
  }
  RopeTable Rope(const Buffer& cos, const Buffer& sin) const {
    return {shape_.context, shape_.head_dim / 2, static_cast<const float*>(cos.data()),
            static_cast<const float*>(sin.data())};
  }
  float Scale() const { return 1.0F / std::sqrt(static_cast<float>(shape_.head_dim)); }
  std::span<const float> Vector(int64_t seq, int64_t position, int64_t head) const {
    const int64_t row = (seq + position) % kPatternRows;
    return std::span(pattern_).subspan(
        static_cast<size_t>(row * qkv_cols() + head * shape_.head_dim),
        static_cast<size_t>(shape_.head_dim));
  }
  // [rows, cols], the first columns of `count` rows from `position` on, appended.
  void AppendRows(int64_t seq, int64_t position, int64_t count, int64_t cols,
                  std::vector<float>& to) const {
    for (int64_t t = position; t < position + count; ++t) {
      const auto begin = pattern_.begin() + (seq + t) % kPatternRows * qkv_cols();
      to.insert(to.end(), begin, begin + cols);
    }
  }
  std::vector<testing::Chunk> NewChunks() const {
    std::vector<testing::Chunk> chunks;
    for (int64_t s = 0; s < shape_.num_seqs; ++s) {
      chunks.push_back({static_cast<int32_t>(s),
                        static_cast<int32_t>(shape_.context - shape_.new_tokens),
                        static_cast<int32_t>(shape_.new_tokens)});
    }
    return chunks;
  }

  Backend& backend_;
  const DeviceAttentionShape shape_;
  std::vector<int32_t> kv_head_of_;
  std::unique_ptr<KvCache> cache_;
  std::vector<float> pattern_;         // [kPatternRows, qkv_cols()]
  std::vector<float> angles_[2];       // cos and sin, [context, head_dim / 2]
  std::unique_ptr<Buffer> cos_, sin_;  // the same on the device
  ForwardBatch batch_;
  std::optional<DeviceMatrix> qkv_;      // [rows(), qkv_cols()]
  std::optional<DeviceMatrix> q_, out_;  // [rows(), q_cols()]
};

Status AttentionStep::Prepare(const DeviceBench& bench) {
  KvCacheSpec spec{
      .num_layers = 1,
      .num_blocks = testing::PagedBatch::NumBlocks(shape_.num_seqs, shape_.context, kBlockSize),
      .block_size = kBlockSize,
      .num_kv_heads_local = shape_.num_kv_heads,
      .head_dim = shape_.head_dim,
      .dtype = backend_.activation_dtype()};
  spec.num_layers = bench.ColdCopies(static_cast<double>(spec.num_blocks * KvBlockBytes(spec)));
  PHALANX_ASSIGN_OR_RETURN(cache_, backend_.CreateKvCache(spec));
  return backend_.PrepareSteps({.max_num_tokens = std::max(shape_.context, rows()),
                                .max_num_seqs = shape_.num_seqs,
                                .max_num_logit_rows = 1,
                                .num_logit_cols = 1,
                                .max_blocks_per_seq = spec.num_blocks / shape_.num_seqs,
                                .block_size = kBlockSize,
                                .heads = Heads()});
}

Status AttentionStep::FillInputs() {
  const DType dtype = backend_.activation_dtype();
  testing::Generator generator(41);
  pattern_ = testing::Rounded(testing::RandomFloats(kPatternRows * qkv_cols(), generator), dtype);
  for (std::vector<float>& angles : angles_) {
    angles = RepeatedRows(shape_.context, shape_.head_dim / 2, generator);
  }
  PHALANX_ASSIGN_OR_RETURN(cos_, ArrayOnDevice(backend_, angles_[0], "cos"));
  PHALANX_ASSIGN_OR_RETURN(sin_, ArrayOnDevice(backend_, angles_[1], "sin"));
  std::vector<float> qkv;
  std::vector<float> q;
  for (int64_t s = 0; s < shape_.num_seqs; ++s) {
    const int64_t first = shape_.context - shape_.new_tokens;
    AppendRows(s, first, shape_.new_tokens, qkv_cols(), qkv);
    AppendRows(s, first, shape_.new_tokens, q_cols(), q);
  }
  PHALANX_ASSIGN_OR_RETURN(
      qkv_,
      DeviceMatrix::Create(backend_, {.rows = rows(), .cols = qkv_cols(), .dtype = dtype}, qkv));
  PHALANX_ASSIGN_OR_RETURN(
      q_, DeviceMatrix::Create(backend_, {.rows = rows(), .cols = q_cols(), .dtype = dtype}, q));
  PHALANX_ASSIGN_OR_RETURN(
      out_, DeviceMatrix::Create(backend_, {.rows = rows(), .cols = q_cols(), .dtype = dtype}));
  return Upload(NewChunks());
}

StatusOr<std::shared_ptr<AttentionStep>> AttentionStep::Create(const DeviceBench& bench,
                                                               const DeviceAttentionShape& shape) {
  std::shared_ptr<AttentionStep> step(new AttentionStep(bench.backend, shape));
  PHALANX_RETURN_IF_ERROR(step->Prepare(bench));
  PHALANX_RETURN_IF_ERROR(step->FillInputs());
  return step;
}

Status AttentionStep::Upload(const std::vector<testing::Chunk>& chunks) {
  const testing::PagedBatch batch(chunks, shape_.num_seqs, shape_.context, kBlockSize);
  const std::vector<int32_t> ids(static_cast<size_t>(batch.view().num_tokens), 0);
  PHALANX_ASSIGN_OR_RETURN(batch_, backend_.Upload({.token_ids = ids, .batch = batch.view()}));
  return OkStatus();
}

Status AttentionStep::FillCache() {
  const DType dtype = backend_.activation_dtype();
  const auto num_angles = static_cast<size_t>(shape_.context * shape_.head_dim / 2);
  // Keys are appended as they are.
  PHALANX_ASSIGN_OR_RETURN(const auto ones,
                           ArrayOnDevice(backend_, std::vector<float>(num_angles, 1.0F), "cos"));
  PHALANX_ASSIGN_OR_RETURN(const auto zeros,
                           ArrayOnDevice(backend_, std::vector<float>(num_angles, 0.0F), "sin"));
  // Sequence s begins with row s % kPatternRows.
  std::vector<float> contexts;
  AppendRows(0, 0, shape_.context + kPatternRows, qkv_cols(), contexts);
  PHALANX_ASSIGN_OR_RETURN(
      const auto qkv,
      DeviceMatrix::Create(
          backend_, {.rows = shape_.context + kPatternRows, .cols = qkv_cols(), .dtype = dtype},
          contexts));
  PHALANX_ASSIGN_OR_RETURN(
      const auto q,
      DeviceMatrix::Create(backend_, {.rows = shape_.context, .cols = q_cols(), .dtype = dtype}));
  for (int64_t s = 0; s < shape_.num_seqs; ++s) {
    PHALANX_RETURN_IF_ERROR(
        Upload({{static_cast<int32_t>(s), 0, static_cast<int32_t>(shape_.context)}}));
    TensorView rows = qkv.view(0).Head(shape_.context);
    rows.data = qkv.view(0).row<uint16_t>(s % kPatternRows);
    for (int64_t layer = 0; layer < num_layers(); ++layer) {
      backend_.QkvRopeAppend(rows, batch_.batch, Heads(), Rope(*ones, *zeros), layer, *cache_,
                             q.view(0));
    }
  }
  PHALANX_RETURN_IF_ERROR(backend_.Finish());
  return Upload(NewChunks());
}

StatusOr<std::string> AttentionStep::CheckRope() {
  PHALANX_RETURN_IF_ERROR(RunRope(0));
  PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, out_->Download());
  const auto head_dim = static_cast<size_t>(shape_.head_dim);
  const size_t half = head_dim / 2;
  for (int64_t row = 0; row < rows(); ++row) {
    const int64_t seq = row / shape_.new_tokens;
    const int64_t position = shape_.context - shape_.new_tokens + row % shape_.new_tokens;
    const size_t first = static_cast<size_t>(position) * half;
    for (int64_t h = 0; h < shape_.num_heads; ++h) {
      testing::Expected expected = testing::RotateOracle(
          Vector(seq, position, h), std::span(angles_[0]).subspan(first, half),
          std::span(angles_[1]).subspan(first, half));
      testing::AddRounding(backend_.activation_dtype(), expected);
      const std::string mismatch = testing::Mismatch(
          {out.data() + row * q_cols() + h * shape_.head_dim, head_dim}, expected);
      if (!mismatch.empty()) return fmt::format("row {}, head {}: {}", row, h, mismatch);
    }
  }
  return std::string();
}

StatusOr<std::string> AttentionStep::CheckAttention() {
  PHALANX_RETURN_IF_ERROR(RunAttention(0));
  PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, out_->Download());
  const auto head_dim = static_cast<size_t>(shape_.head_dim);
  for (const int64_t seq : {int64_t{0}, shape_.num_seqs - 1}) {
    const int64_t row = (seq + 1) * shape_.new_tokens - 1;
    for (const int64_t h : {int64_t{0}, shape_.num_heads / 2, shape_.num_heads - 1}) {
      const int64_t key_head = shape_.num_heads + kv_head_of_[static_cast<size_t>(h)];
      std::vector<float> keys;
      std::vector<float> values;
      for (int64_t t = 0; t < shape_.context; ++t) {
        const auto key = Vector(seq, t, key_head);
        const auto value = Vector(seq, t, key_head + shape_.num_kv_heads);
        keys.insert(keys.end(), key.begin(), key.end());
        values.insert(values.end(), value.begin(), value.end());
      }
      const testing::Expected expected =
          testing::StoredAttention(Vector(seq, shape_.context - 1, h), keys, std::move(values),
                                   Scale(), backend_.activation_dtype());
      const std::string mismatch = testing::Mismatch(
          {out.data() + row * q_cols() + h * shape_.head_dim, head_dim}, expected);
      if (!mismatch.empty()) return fmt::format("sequence {}, head {}: {}", seq, h, mismatch);
    }
  }
  return std::string();
}

std::string Describe(const DeviceAttentionShape& shape) {
  return fmt::format("{} seqs={} new={} context={} heads={}/{} dim={}", shape.name, shape.num_seqs,
                     shape.new_tokens, shape.context, shape.num_heads, shape.num_kv_heads,
                     shape.head_dim);
}

StatusOr<std::vector<DeviceCase>> MakeAttention(const DeviceBench& bench,
                                                const DeviceAttentionShape& shape) {
  PHALANX_ASSIGN_OR_RETURN(const auto step, AttentionStep::Create(bench, shape));
  PHALANX_RETURN_IF_ERROR(step->FillCache());
  // Row i of a chunk sees context - new_tokens + i + 1 tokens; each costs a score and a sum.
  const double seen =
      static_cast<double>(step->rows()) *
      (static_cast<double>(shape.context) - static_cast<double>(shape.new_tokens - 1) / 2.0);
  const auto kv_values =
      static_cast<double>(shape.num_seqs * shape.context * 2 * shape.num_kv_heads * shape.head_dim);
  const auto q_values = static_cast<double>(step->rows() * step->q_cols());
  return std::vector<DeviceCase>{{.bytes = 2.0 * kv_values + bench.ColdBytes(4.0 * q_values),
                                  .flop = 4.0 * seen * static_cast<double>(step->q_cols()),
                                  .rotation = step->num_layers(),
                                  .run = [step](int64_t run) { return step->RunAttention(run); },
                                  .check = [step] { return step->CheckAttention(); }}};
}

StatusOr<std::vector<DeviceCase>> MakeRope(const DeviceBench& bench,
                                           const DeviceAttentionShape& shape) {
  PHALANX_ASSIGN_OR_RETURN(const auto step, AttentionStep::Create(bench, shape));
  // Read once and written once, as queries or to the cache.
  return std::vector<DeviceCase>{
      {.bytes = 4.0 * static_cast<double>(step->rows() * step->qkv_cols()),
       .rotation = step->num_layers(),
       .run = [step](int64_t run) { return step->RunRope(run); },
       .check = [step] { return step->CheckRope(); }}};
}

}  // namespace

DeviceCaseGroup DeviceAttentionCases(const DeviceAttentionShape& shape) {
  return {.shapes = {Describe(shape)},
          .make = [shape](const DeviceBench& bench) { return MakeAttention(bench, shape); }};
}

DeviceCaseGroup DeviceRopeCases(const DeviceAttentionShape& shape) {
  return {.shapes = {Describe(shape)},
          .make = [shape](const DeviceBench& bench) { return MakeRope(bench, shape); }};
}

}  // namespace phalanx
