// PagedAttention against the oracle, and the bits of its rows however they are grouped.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>
#include <tuple>

#include "kernels/backend_factory.h"
#include "tests/kernels/paged_batch.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::Chunk;
using testing::Generator;
using testing::ViewOf;

struct Case {
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t block_size;
  DType dtype;
};
void PrintTo(const Case& c, std::ostream* os) {
  *os << c.num_heads << "/" << c.num_kv_heads << " heads of " << c.head_dim << ", blocks of "
      << c.block_size << ", " << Name(c.dtype);
}

constexpr int64_t kNumSeqs = 3;
constexpr int64_t kMaxTokens = 200;

// Sequences with given queries, keys and values at every position, no rotation, and what attention
// returns for them.
class Sequences {
 public:
  Sequences(const std::string& isa, const Case& c, int num_threads)
      : case_(c), backend_(testing::MakeBackend(isa, num_threads)) {
    for (int64_t h = 0; h < c.num_heads; ++h) {
      kv_head_of_.push_back(static_cast<int32_t>(h * c.num_kv_heads / c.num_heads));
    }
    cos_.assign(static_cast<size_t>(kMaxTokens * c.head_dim / 2), 1.0F);
    sin_.assign(cos_.size(), 0.0F);
    cache_ = std::move(backend_->CreateKvCache({.num_layers = 2,
                                                .num_blocks = testing::PagedBatch::NumBlocks(
                                                    kNumSeqs, kMaxTokens, c.block_size),
                                                .block_size = c.block_size,
                                                .num_kv_heads_local = c.num_kv_heads,
                                                .head_dim = c.head_dim,
                                                .dtype = c.dtype}))
                 .value();
    Generator generator(12);
    for (std::vector<float>& rows : qkv_) {
      rows = testing::RandomFloats(kMaxTokens * QkvCols(), generator);
      if (c.dtype == DType::kBF16) {
        for (float& value : rows) value = BF16ToFloat(FloatToBF16(value));
      }
    }
  }

  int64_t QkvCols() const { return (case_.num_heads + 2 * case_.num_kv_heads) * case_.head_dim; }
  int64_t OutCols() const { return case_.num_heads * case_.head_dim; }

  // Fills every slot of the cache with NaN.
  void Poison() {
    std::vector<Chunk> all;
    for (int32_t s = 0; s < kNumSeqs; ++s) all.push_back({s, 0, kMaxTokens});
    std::vector<float> nans = testing::NaNs(kNumSeqs * kMaxTokens * QkvCols());
    Append(all, nans);
  }

  // One step: appends the chunks' keys and values, then attends. Rows are put under (seq,
  // position).
  void Step(const std::vector<Chunk>& chunks) {
    std::vector<float> qkv;
    for (const Chunk& chunk : chunks) {
      const float* begin = qkv_[chunk.seq].data() + chunk.first * QkvCols();
      qkv.insert(qkv.end(), begin, begin + chunk.count * QkvCols());
    }
    const std::vector<float> q = Append(chunks, qkv);
    const testing::PagedBatch batch(chunks, kNumSeqs, kMaxTokens, case_.block_size);
    const int64_t rows = batch.view().num_tokens;
    std::vector<float> q_copy = q;
    std::vector<float> out = testing::NaNs(rows * OutCols());
    backend_->PagedAttention(ViewOf(q_copy, rows, OutCols()), batch.view(), Heads(), Scale(), 1,
                             *cache_, ViewOf(out, rows, OutCols()));
    const float* row = out.data();
    for (const Chunk& chunk : chunks) {
      for (int32_t t = 0; t < chunk.count; ++t, row += OutCols()) {
        results_[{chunk.seq, chunk.first + t}].assign(row, row + OutCols());
      }
    }
  }

  float Scale() const { return 1.0F / std::sqrt(static_cast<float>(case_.head_dim)); }
  const std::map<std::pair<int32_t, int32_t>, std::vector<float>>& results() const {
    return results_;
  }

  std::string MismatchWithOracle() const {
    for (const auto& [at, row] : results_) {
      const auto head_dim = static_cast<size_t>(case_.head_dim);
      for (int64_t h = 0; h < case_.num_heads; ++h) {
        std::vector<float> keys;
        std::vector<float> values;
        for (int64_t t = 0; t <= at.second; ++t) {
          const int64_t kv_head = kv_head_of_[static_cast<size_t>(h)];
          const float* k =
              qkv_[at.first].data() + t * QkvCols() + (case_.num_heads + kv_head) * case_.head_dim;
          const float* v = k + case_.num_kv_heads * case_.head_dim;
          keys.insert(keys.end(), k, k + head_dim);
          values.insert(values.end(), v, v + head_dim);
        }
        const std::span<const float> q(
            qkv_[at.first].data() + at.second * QkvCols() + h * case_.head_dim, head_dim);
        const std::string mismatch =
            testing::Mismatch({row.data() + h * case_.head_dim, head_dim},
                              testing::AttentionOracle(q, keys, values, Scale()));
        if (!mismatch.empty()) {
          return "sequence " + std::to_string(at.first) + ", position " +
                 std::to_string(at.second) + ", head " + std::to_string(h) + ": " + mismatch;
        }
      }
    }
    return "";
  }

 private:
  HeadLayout Heads() const {
    return {case_.num_heads, case_.num_kv_heads, case_.head_dim, kv_head_of_};
  }

  std::vector<float> Append(const std::vector<Chunk>& chunks, std::vector<float>& qkv) {
    const testing::PagedBatch batch(chunks, kNumSeqs, kMaxTokens, case_.block_size);
    const int64_t rows = batch.view().num_tokens;
    std::vector<float> q = testing::NaNs(rows * OutCols());
    const RopeTable rope{kMaxTokens, case_.head_dim / 2, cos_.data(), sin_.data()};
    backend_->QkvRopeAppend(ViewOf(qkv, rows, QkvCols()), batch.view(), Heads(), rope, 1, *cache_,
                            ViewOf(q, rows, OutCols()));
    return q;
  }

  Case case_;
  std::unique_ptr<Backend> backend_;
  std::vector<int32_t> kv_head_of_;
  std::vector<float> cos_;
  std::vector<float> sin_;
  std::unique_ptr<KvCache> cache_;
  std::vector<float> qkv_[kNumSeqs];  // [kMaxTokens, QkvCols()]
  std::map<std::pair<int32_t, int32_t>, std::vector<float>> results_;
};

class AttentionTest : public ::testing::TestWithParam<std::tuple<std::string, Case>> {
 protected:
  Sequences Make(int num_threads) const {
    return {std::get<0>(GetParam()), std::get<1>(GetParam()), num_threads};
  }
};

// Positions 0..149 of sequence 0, 0..69 of sequence 1 and 0..2 of sequence 2.
const std::vector<Chunk> kWhole = {{0, 0, 150}, {1, 0, 70}, {2, 0, 3}};

TEST_P(AttentionTest, MatchesOracleOverAPoisonedCache) {
  Sequences sequences = Make(2);
  sequences.Poison();
  sequences.Step(kWhole);
  EXPECT_EQ(sequences.MismatchWithOracle(), "");
}

TEST_P(AttentionTest, RowsHaveTheSameBitsHoweverTheyAreCutAndMixed) {
  Sequences whole = Make(1);
  whole.Poison();
  whole.Step(kWhole);

  Sequences cut = Make(3);
  cut.Poison();
  cut.Step({{2, 0, 1}, {0, 0, 61}});
  cut.Step({{0, 61, 7}, {1, 0, 64}, {2, 1, 1}});
  cut.Step({{1, 64, 6}, {0, 68, 81}, {2, 2, 1}});
  cut.Step({{0, 149, 1}});
  ASSERT_EQ(cut.results().size(), whole.results().size());

  Sequences decoded = Make(2);
  decoded.Poison();
  for (int32_t t = 0; t < 150; ++t) {
    std::vector<Chunk> step = {{0, t, 1}};
    if (t >= 80) step.push_back({1, t - 80, 1});
    if (t % 50 == 0) step.push_back({2, t / 50, 1});
    decoded.Step(step);
  }
  ASSERT_EQ(decoded.results().size(), whole.results().size());
  for (const auto& [at, row] : whole.results()) {
    EXPECT_EQ(testing::BitMismatch(cut.results().at(at), row), "")
        << "chunks, sequence " << at.first << ", position " << at.second;
    EXPECT_EQ(testing::BitMismatch(decoded.results().at(at), row), "")
        << "decode, sequence " << at.first << ", position " << at.second;
  }
}

INSTANTIATE_TEST_SUITE_P(All, AttentionTest,
                         ::testing::Combine(::testing::ValuesIn(AvailableCpuIsas()),
                                            ::testing::Values(Case{14, 2, 64, 16, DType::kF32},
                                                              Case{12, 2, 128, 32, DType::kBF16},
                                                              Case{3, 3, 64, 64, DType::kF32},
                                                              Case{5, 1, 64, 16, DType::kBF16},
                                                              Case{4, 2, 2, 16, DType::kF32},
                                                              Case{3, 1, 34, 32, DType::kF32},
                                                              Case{1, 1, 80, 16, DType::kBF16})));

// Ranks at the edges of a KV head's range: heads of one group may be few, or none.
TEST(AttentionEdgeTest, ARankMayHoldNoHead) {
  const auto backend = testing::MakeBackend("", 2);
  const auto cache =
      std::move(backend->CreateKvCache({.num_layers = 1, .num_blocks = 4, .head_dim = 64})).value();
  const HeadLayout heads{
      .num_heads_local = 0, .num_kv_heads_local = 0, .head_dim = 64, .kv_head_of = {}};
  const testing::PagedBatch batch({{0, 0, 3}}, 1, 16, 16);
  std::vector<float> none;
  const std::vector<float> table(16 * 32, 1.0F);
  backend->QkvRopeAppend(ViewOf(none, 3, 0), batch.view(), heads,
                         {16, 32, table.data(), table.data()}, 0, *cache, ViewOf(none, 3, 0));
  backend->PagedAttention(ViewOf(none, 3, 0), batch.view(), heads, 0.125F, 0, *cache,
                          ViewOf(none, 3, 0));
}

// A query far outside the usual range: weights underflow to 0 and the row is still an average.
TEST(AttentionEdgeTest, LargeScoresDoNotOverflow) {
  const Case c{1, 1, 64, 16, DType::kF32};
  for (const std::string& isa : AvailableCpuIsas()) {
    const auto backend = testing::MakeBackend(isa, 1);
    const auto cache = std::move(backend->CreateKvCache({.num_layers = 1,
                                                         .num_blocks = 8,
                                                         .num_kv_heads_local = 1,
                                                         .head_dim = c.head_dim}))
                           .value();
    const testing::PagedBatch batch({{0, 0, 100}}, 1, 128, 16);
    Generator generator(13);
    std::vector<float> qkv = testing::RandomFloats(100 * 192, generator, 1000.0F);
    std::vector<float> q = testing::NaNs(100 * 64);
    const std::vector<int32_t> kv_head_of = {0};
    const HeadLayout heads{1, 1, 64, kv_head_of};
    const std::vector<float> cos(128 * 32, 1.0F);
    const std::vector<float> sin(128 * 32, 0.0F);
    backend->QkvRopeAppend(ViewOf(qkv, 100, 192), batch.view(), heads,
                           {128, 32, cos.data(), sin.data()}, 0, *cache, ViewOf(q, 100, 64));
    std::vector<float> out = testing::NaNs(100 * 64);
    backend->PagedAttention(ViewOf(q, 100, 64), batch.view(), heads, 1.0F, 0, *cache,
                            ViewOf(out, 100, 64));
    for (const float value : out) EXPECT_LT(std::abs(value), 1e4F);
  }
}

}  // namespace
}  // namespace phalanx
