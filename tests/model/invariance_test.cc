// A row's bits depend on its own sequence alone: not on the chunks of its prefill, not on what
// shares the batch. Two layers of the published 0.5B shape with random weights, context beyond 2048
// tokens, batch 16, every instruction set of the machine; and the bundled model.
#include <gtest/gtest.h>

#include <random>

#include "tests/model/model_group.h"

namespace phalanx {
namespace {

using testing::GroupOptions;
using testing::ModelGroup;
using testing::Piece;
using testing::Row;

constexpr int32_t kLongSequence = 0;
constexpr int64_t kChunk = 160;
// Without SIMD the full shape takes minutes: a narrower MLP here, the full width in
// HalfBillionShapeTokenByToken.
constexpr char kSlowIsa[] = "portable";

Qwen2Config HalfBillionShape() {
  Qwen2Config config;
  config.hidden_size = 896;
  config.intermediate_size = 4864;
  config.num_layers = 2;
  config.num_heads = 14;
  config.num_kv_heads = 2;
  config.head_dim = 64;
  config.vocab_size = 1024;  // the head is one more Linear; its width costs only time here
  config.max_position_embeddings = 4096;
  config.rope_theta = 1e6;
  config.tie_word_embeddings = true;
  return config;
}

std::vector<int32_t> RandomIds(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(generator() % 1000);
  return ids;
}

// Prefills the long sequence, in pieces of `chunk` tokens except for the last `single` ones, which
// go one by one, alone or among 15 short sequences at different positions; the logits of those last
// rows.
class Invariance {
 public:
  Invariance(ModelGroup& group, const std::vector<int32_t>& ids) : group_(group), ids_(ids) {}

  enum class Company : uint8_t { kAlone, kMixedBatch };

  std::vector<Row> Run(int64_t chunk, int64_t single, Company company) {
    std::vector<Row> last_rows;
    const auto length = static_cast<int64_t>(ids_.size());
    int32_t step = 0;
    for (int64_t begin = 0; begin < length; ++step) {
      const bool one_by_one = begin >= length - single;
      const int64_t end = one_by_one ? begin + 1 : std::min(begin + chunk, length - single);
      std::vector<Piece> pieces;
      if (company == Company::kMixedBatch) {
        // Chunks and decode tokens of others before and after; their sizes change by the step.
        for (int32_t s = 1; s < 16; ++s) {
          const size_t count = s % 5 == 0 ? 3 : 1;
          pieces.push_back({s, 4 * (step % 60), RandomIds(count, static_cast<uint32_t>(s)),
                            Piece::Want::kNothing});
        }
      }
      const auto place = pieces.begin() + (pieces.empty() ? 0 : 7);
      const Piece::Want want = one_by_one ? Piece::Want::kLast : Piece::Want::kNothing;
      pieces.insert(place, {kLongSequence,
                            static_cast<int32_t>(begin),
                            {ids_.begin() + begin, ids_.begin() + end},
                            want});
      auto rows = group_.Step(pieces);
      EXPECT_TRUE(rows.ok()) << rows.status();
      if (one_by_one) last_rows.push_back(rows->at(0));
      begin = end;
    }
    return last_rows;
  }

  // The same last rows, as the tail of one chunk.
  std::vector<Row> RunTailAsChunk(int64_t chunk, int64_t tail) {
    const auto length = static_cast<int64_t>(ids_.size());
    for (int64_t begin = 0; begin < length - tail;) {
      const int64_t end = std::min(begin + chunk, length - tail);
      EXPECT_TRUE(group_
                      .Step({{kLongSequence,
                              static_cast<int32_t>(begin),
                              {ids_.begin() + begin, ids_.begin() + end},
                              Piece::Want::kNothing}})
                      .ok());
      begin = end;
    }
    auto rows = group_.Step({{kLongSequence,
                              static_cast<int32_t>(length - tail),
                              {ids_.end() - tail, ids_.end()},
                              Piece::Want::kAll}});
    EXPECT_TRUE(rows.ok()) << rows.status();
    return *rows;
  }

 private:
  ModelGroup& group_;
  const std::vector<int32_t>& ids_;
};

void CheckInvariance(GroupOptions options, size_t length) {
  constexpr int64_t kTail = 12;
  options.num_sequences = 16;
  options.max_sequence_tokens = static_cast<int64_t>(length);
  options.model.max_num_tokens = kChunk + 64;
  options.model.max_num_logit_rows = 16;
  options.model.max_model_len = static_cast<int64_t>(length);
  const auto group = ModelGroup::Load(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const std::vector<int32_t> ids = RandomIds(length, 99);
  Invariance invariance(**group, ids);
  using Company = Invariance::Company;
  const std::vector<Row> expected = invariance.RunTailAsChunk(kChunk, kTail);
  EXPECT_EQ(invariance.Run(149, kTail, Company::kMixedBatch), expected)
      << "odd chunks, mixed batch";
  if (options.backend.cpu_isa == kSlowIsa) return;
  EXPECT_EQ(invariance.Run(kChunk, kTail, Company::kAlone), expected) << "decode alone";
  EXPECT_EQ(invariance.Run(37, kTail, Company::kMixedBatch), expected) << "other chunks and batch";
}

class InvarianceTest : public ::testing::TestWithParam<std::string> {};

TEST_P(InvarianceTest, HalfBillionShape) {
  GroupOptions options;
  options.config = HalfBillionShape();
  options.model.load_format = LoadFormat::kDummy;
  options.backend = {.num_threads = 2, .cpu_isa = GetParam()};
  if (GetParam() == kSlowIsa) options.config.intermediate_size = 128;
  CheckInvariance(options, 2064);
}

TEST_P(InvarianceTest, HalfBillionShapeTokenByToken) {
  GroupOptions options;
  options.config = HalfBillionShape();
  options.config.num_layers = 1;
  options.model.load_format = LoadFormat::kDummy;
  options.backend = {.num_threads = 2, .cpu_isa = GetParam()};
  options.num_sequences = 1;
  options.max_sequence_tokens = 200;
  options.model.max_num_tokens = 200;
  options.model.max_num_logit_rows = 200;
  const auto group = ModelGroup::Load(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const std::vector<int32_t> ids = RandomIds(200, 7);
  const auto expected = (*group)->Step({{0, 0, ids, Piece::Want::kAll}});
  ASSERT_TRUE(expected.ok());
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto row = (*group)->Step({{0, static_cast<int32_t>(i), {ids[i]}, Piece::Want::kLast}});
    ASSERT_TRUE(row.ok());
    ASSERT_EQ(row->at(0), expected->at(i)) << "position " << i;
  }
}

TEST_P(InvarianceTest, BundledModelOnThreeRanks) {
  GroupOptions options;
  options.num_ranks = 3;
  options.model_dir = PHALANX_SOURCE_DIR "/launch/demo/model";
  auto config = LoadConfig(options.model_dir);
  ASSERT_TRUE(config.ok()) << config.status();
  options.config = *config;
  options.backend = {.num_threads = 1, .cpu_isa = GetParam()};
  CheckInvariance(options, 2064);
}

INSTANTIATE_TEST_SUITE_P(Isas, InvarianceTest, ::testing::ValuesIn(AvailableCpuIsas()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace phalanx
