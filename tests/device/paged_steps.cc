#include "tests/device/paged_steps.h"

#include <fmt/format.h>

#include <cmath>

#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx::testing {
namespace {

// Rows whose every head is compared with an oracle that reads the whole context for each.
constexpr size_t kMaxCheckedRows = 24;

}  // namespace

PagedSteps::PagedSteps(PagedShape shape) : shape_(std::move(shape)) {
  for (size_t kv_head = 0; kv_head < shape_.heads_of_kv_head.size(); ++kv_head) {
    kv_head_of_.insert(kv_head_of_.end(), static_cast<size_t>(shape_.heads_of_kv_head[kv_head]),
                       static_cast<int32_t>(kv_head));
  }
  const int64_t max_blocks = (shape_.max_tokens + shape_.block_size - 1) / shape_.block_size;
  backend_ = MakeDevice(shape_.dtype, shape_.numerics,
                        {.max_num_tokens = shape_.num_seqs * shape_.max_tokens,
                         .max_num_seqs = shape_.num_seqs,
                         .max_num_logit_rows = 1,
                         .num_logit_cols = 1,
                         .max_blocks_per_seq = max_blocks,
                         .block_size = shape_.block_size,
                         .heads = Heads()});
  cache_ = std::move(backend_->CreateKvCache({.num_layers = 1,
                                              .num_blocks = shape_.num_seqs * max_blocks,
                                              .block_size = shape_.block_size,
                                              .num_kv_heads_local = num_kv_heads(),
                                              .head_dim = shape_.head_dim,
                                              .dtype = shape_.dtype}))
               .value();
  Generator generator(12);
  for (int64_t i = 0; i < shape_.max_tokens * shape_.head_dim / 2; ++i) {
    const auto quarters = generator() % 4;
    cos_.push_back(quarters == 0 ? 1.0F : quarters == 2 ? -1.0F : 0.0F);
    sin_.push_back(quarters == 1 ? 1.0F : quarters == 3 ? -1.0F : 0.0F);
  }
  device_cos_ = std::make_unique<DeviceArray<float>>(*backend_, cos_);
  device_sin_ = std::make_unique<DeviceArray<float>>(*backend_, sin_);
  for (int64_t seq = 0; seq < shape_.num_seqs; ++seq) {
    qkv_.push_back(Rounded(RandomFloats(shape_.max_tokens * QkvCols(), generator), shape_.dtype));
  }
}

HeadLayout PagedSteps::Heads() const {
  return {num_heads(), num_kv_heads(), shape_.head_dim, kv_head_of_};
}

float PagedSteps::Scale() const { return 1.0F / std::sqrt(static_cast<float>(shape_.head_dim)); }

void PagedSteps::Step(const std::vector<Chunk>& chunks) {
  const PagedBatch batch(chunks, shape_.num_seqs, shape_.max_tokens, shape_.block_size);
  std::vector<float> rows;
  for (const Chunk& chunk : chunks) {
    const auto begin = qkv_[static_cast<size_t>(chunk.seq)].begin() + chunk.first * QkvCols();
    rows.insert(rows.end(), begin, begin + chunk.count * QkvCols());
  }
  const int64_t num_tokens = batch.view().num_tokens;
  const std::vector<int32_t> ids(static_cast<size_t>(num_tokens), 0);
  const auto uploaded = backend_->Upload({.token_ids = ids, .batch = batch.view()});
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  const DeviceMatrix qkv(*backend_, rows, num_tokens, shape_.dtype);
  const DeviceMatrix q(*backend_, num_tokens, QCols(), shape_.dtype);
  const DeviceMatrix out(*backend_, num_tokens, QCols(), shape_.dtype);
  const RopeTable rope{shape_.max_tokens, shape_.head_dim / 2, device_cos_->span().data(),
                       device_sin_->span().data()};
  backend_->QkvRopeAppend(qkv.view(), uploaded->batch, Heads(), rope, 0, *cache_, q.view());
  backend_->PagedAttention(q.view(), uploaded->batch, Heads(), Scale(), 0, *cache_, out.view());
  const std::vector<float> values = out.Download();
  auto row = values.begin();
  for (const Chunk& chunk : chunks) {
    for (int32_t t = 0; t < chunk.count; ++t, row += QCols()) {
      results_[{chunk.seq, chunk.first + t}] = {row, row + QCols()};
    }
  }
}

std::vector<float> PagedSteps::Head(int32_t seq, int32_t position, int64_t head) const {
  const float* const x =
      qkv_[static_cast<size_t>(seq)].data() + position * QkvCols() + head * shape_.head_dim;
  std::vector<float> vector(x, x + shape_.head_dim);
  if (head >= num_heads() + num_kv_heads()) return vector;  // a value
  const auto half = static_cast<size_t>(shape_.head_dim / 2);
  const size_t factor = static_cast<size_t>(position) * half;
  for (size_t i = 0; i < half; ++i) {
    vector[i] = x[i] * cos_[factor + i] - x[i + half] * sin_[factor + i];
    vector[i + half] = x[i + half] * cos_[factor + i] + x[i] * sin_[factor + i];
  }
  return vector;
}

Expected PagedSteps::ExpectedRow(int32_t seq, int32_t position, int64_t head) const {
  const int64_t kv_head = num_heads() + kv_head_of_[static_cast<size_t>(head)];
  std::vector<float> keys;
  std::vector<float> values;
  for (int32_t t = 0; t <= position; ++t) {
    const std::vector<float> key = Head(seq, t, kv_head);
    const std::vector<float> value = Head(seq, t, kv_head + num_kv_heads());
    keys.insert(keys.end(), key.begin(), key.end());
    values.insert(values.end(), value.begin(), value.end());
  }
  return StoredAttention(Head(seq, position, head), keys, std::move(values), Scale(), shape_.dtype);
}

std::string PagedSteps::MismatchWithOracle() const {
  const size_t step = results_.size() / kMaxCheckedRows + 1;
  size_t i = 0;
  for (const auto& [at, row] : results_) {
    const bool is_last = i + 1 == results_.size();
    if (i++ % step != 0 && !is_last) continue;
    for (int64_t head = 0; head < num_heads(); ++head) {
      const std::string mismatch =
          Mismatch({row.data() + head * shape_.head_dim, static_cast<size_t>(shape_.head_dim)},
                   ExpectedRow(at.first, at.second, head));
      if (!mismatch.empty()) {
        return fmt::format("sequence {}, position {}, head {}: {}", at.first, at.second, head,
                           mismatch);
      }
    }
  }
  return "";
}

}  // namespace phalanx::testing
