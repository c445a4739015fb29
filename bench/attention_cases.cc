#include "bench/attention_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tests/kernels/paged_batch.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

constexpr int64_t kBlockSize = 16;
// Layers rotate, so that keys and values of one run are not in a cache for the next.
constexpr int64_t kRotationBytes = int64_t{128} << 20;

// One step's tensors; every layer of the cache holds the same context.
class AttentionStep {
 public:
  AttentionStep(Backend& backend, const AttentionShape& shape)
      : backend_(backend),
        shape_(shape),
        batch_(Chunks(shape.context - shape.new_tokens, shape.new_tokens), shape.num_seqs,
               shape.context, kBlockSize) {
    for (int64_t h = 0; h < shape.num_heads; ++h) {
      kv_head_of_.push_back(static_cast<int32_t>(h * shape.num_kv_heads / shape.num_heads));
    }
    KvCacheSpec spec{
        .num_layers = 1,
        .num_blocks = testing::PagedBatch::NumBlocks(shape.num_seqs, shape.context, kBlockSize),
        .block_size = kBlockSize,
        .num_kv_heads_local = shape.num_kv_heads,
        .head_dim = shape.head_dim,
        .dtype = shape.dtype};
    spec.num_layers =
        std::clamp<int64_t>(kRotationBytes / (spec.num_blocks * KvBlockBytes(spec)), 1, 64);
    cache_ = std::move(backend.CreateKvCache(spec)).value();
    cos_.assign(static_cast<size_t>(shape.context * shape.head_dim / 2), 0.6F);
    sin_.assign(cos_.size(), 0.8F);
    testing::Generator generator(41);
    all_qkv_ = testing::RandomFloats(shape.num_seqs * shape.context * QkvColumns(), generator);
    if (shape.dtype == DType::kBF16) {
      for (float& value : all_qkv_) value = BF16ToFloat(FloatToBF16(value));
    }
    const testing::PagedBatch everything(Chunks(0, shape.context), shape.num_seqs, shape.context,
                                         kBlockSize);
    std::vector<float> q = testing::NaNs(shape.num_seqs * shape.context * QColumns());
    for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
      backend.QkvRopeAppend(testing::ViewOf(all_qkv_, shape.num_seqs * shape.context, QkvColumns()),
                            everything.view(), Heads(), Unrotated(), layer, *cache_,
                            testing::ViewOf(q, shape.num_seqs * shape.context, QColumns()));
    }
    for (int64_t s = 0; s < shape.num_seqs; ++s) {
      const auto end = all_qkv_.begin() + (s + 1) * shape.context * QkvColumns();
      qkv_.insert(qkv_.end(), end - shape.new_tokens * QkvColumns(), end);
      const auto q_end = q.begin() + (s + 1) * shape.context * QColumns();
      q_.insert(q_.end(), q_end - shape.new_tokens * QColumns(), q_end);
    }
    out_ = testing::NaNs(Rows() * QColumns());
  }

  int64_t Rows() const { return shape_.num_seqs * shape_.new_tokens; }
  int64_t num_layers() const { return cache_->spec().num_layers; }
  int64_t QColumns() const { return shape_.num_heads * shape_.head_dim; }
  int64_t QkvColumns() const {
    return (shape_.num_heads + 2 * shape_.num_kv_heads) * shape_.head_dim;
  }
  double KvBytes() const {
    return static_cast<double>(shape_.num_seqs * shape_.context * 2 * shape_.num_kv_heads *
                               shape_.head_dim) *
           static_cast<double>(SizeInBytes(shape_.dtype));
  }

  void RunRope(int64_t run) {
    backend_.QkvRopeAppend(testing::ViewOf(qkv_, Rows(), QkvColumns()), batch_.view(), Heads(),
                           {shape_.context, shape_.head_dim / 2, cos_.data(), sin_.data()},
                           run % num_layers(), *cache_, testing::ViewOf(out_, Rows(), QColumns()));
  }
  std::string CheckRope() {
    RunRope(0);
    const auto half = static_cast<size_t>(shape_.head_dim / 2);
    for (int64_t row = 0; row < Rows(); ++row) {
      for (int64_t h = 0; h < shape_.num_heads; ++h) {
        const std::span<const float> in(qkv_.data() + row * QkvColumns() + h * shape_.head_dim,
                                        2 * half);
        const std::span<const float> out(out_.data() + row * QColumns() + h * shape_.head_dim,
                                         2 * half);
        const std::string mismatch = testing::Mismatch(
            out, testing::RotateOracle(in, {cos_.data(), half}, {sin_.data(), half}));
        if (!mismatch.empty()) return mismatch;
      }
    }
    return "";
  }

  void RunAttention(int64_t run) {
    backend_.PagedAttention(testing::ViewOf(q_, Rows(), QColumns()), batch_.view(), Heads(),
                            Scale(), run % num_layers(), *cache_,
                            testing::ViewOf(out_, Rows(), QColumns()));
  }
  // The last row of the first and of the last sequence, all heads.
  std::string CheckAttention() {
    RunAttention(0);
    for (const int64_t seq : {int64_t{0}, shape_.num_seqs - 1}) {
      const int64_t row = (seq + 1) * shape_.new_tokens - 1;
      for (int64_t h = 0; h < shape_.num_heads; ++h) {
        std::vector<float> keys;
        std::vector<float> values;
        for (int64_t t = 0; t < shape_.context; ++t) {
          const float* k =
              all_qkv_.data() + (seq * shape_.context + t) * QkvColumns() +
              (shape_.num_heads + kv_head_of_[static_cast<size_t>(h)]) * shape_.head_dim;
          const float* v = k + shape_.num_kv_heads * shape_.head_dim;
          keys.insert(keys.end(), k, k + shape_.head_dim);
          values.insert(values.end(), v, v + shape_.head_dim);
        }
        const auto head_dim = static_cast<size_t>(shape_.head_dim);
        const int64_t at = row * QColumns() + h * shape_.head_dim;
        const std::string mismatch = testing::Mismatch(
            {out_.data() + at, head_dim},
            testing::AttentionOracle({q_.data() + at, head_dim}, keys, values, Scale()));
        if (!mismatch.empty()) return fmt::format("sequence {}, head {}: {}", seq, h, mismatch);
      }
    }
    return "";
  }

 private:
  std::vector<testing::Chunk> Chunks(int64_t first, int64_t count) const {
    std::vector<testing::Chunk> chunks;
    for (int64_t s = 0; s < shape_.num_seqs; ++s) {
      chunks.push_back(
          {static_cast<int32_t>(s), static_cast<int32_t>(first), static_cast<int32_t>(count)});
    }
    return chunks;
  }
  HeadLayout Heads() const {
    return {shape_.num_heads, shape_.num_kv_heads, shape_.head_dim, kv_head_of_};
  }
  // The context is written as it is.
  RopeTable Unrotated() {
    identity_cos_.assign(cos_.size(), 1.0F);
    identity_sin_.assign(sin_.size(), 0.0F);
    return {shape_.context, shape_.head_dim / 2, identity_cos_.data(), identity_sin_.data()};
  }
  float Scale() const { return 1.0F / std::sqrt(static_cast<float>(shape_.head_dim)); }

  Backend& backend_;
  AttentionShape shape_;
  testing::PagedBatch batch_;
  std::vector<int32_t> kv_head_of_;
  std::unique_ptr<KvCache> cache_;
  std::vector<float> cos_, sin_, identity_cos_, identity_sin_;
  std::vector<float> all_qkv_;  // [num_seqs, context, QkvColumns()]
  std::vector<float> qkv_;      // [Rows(), QkvColumns()]
  std::vector<float> q_;        // [Rows(), QColumns()]
  std::vector<float> out_;
};

std::string ShapeOf(const AttentionShape& shape) {
  return fmt::format("{} {} seqs={} new={} context={} heads={}/{} dim={}", shape.name,
                     Name(shape.dtype), shape.num_seqs, shape.new_tokens, shape.context,
                     shape.num_heads, shape.num_kv_heads, shape.head_dim);
}

}  // namespace

OpCase MakeRopeCase(Backend& backend, const AttentionShape& shape) {
  auto step = std::make_shared<AttentionStep>(backend, shape);
  const auto floats = static_cast<double>(step->Rows() * (step->QkvColumns() + step->QColumns()));
  return {.op = "rope",
          .shape = ShapeOf(shape),
          .bytes = 4.0 * floats,
          .flop = 3.0 * floats,
          .num_runs = 64,
          .run = [step](int64_t run) { step->RunRope(run); },
          .check = [step] { return step->CheckRope(); }};
}

OpCase MakeAttentionCase(Backend& backend, const AttentionShape& shape) {
  auto step = std::make_shared<AttentionStep>(backend, shape);
  // Row i of a chunk sees context - new_tokens + i + 1 tokens; each costs a score and a sum.
  const double seen =
      static_cast<double>(shape.num_seqs * shape.new_tokens) *
      (static_cast<double>(shape.context) - static_cast<double>(shape.new_tokens - 1) / 2.0);
  return {.op = "attention",
          .shape = ShapeOf(shape),
          .bytes = step->KvBytes(),
          .flop = 4.0 * seen * static_cast<double>(step->QColumns()),
          .num_runs = step->num_layers(),
          .run = [step](int64_t run) { step->RunAttention(run); },
          .check = [step] { return step->CheckAttention(); }};
}

}  // namespace phalanx
