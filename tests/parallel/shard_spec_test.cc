#include "parallel/shard_spec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

namespace phalanx {
namespace {

constexpr int kLargestGroup = 17;

// Every index of [0, count) lies in exactly one part, parts are in order, and their sizes in units
// differ by at most one, the larger ones first.
void ExpectPartition(const std::vector<Range>& parts, int64_t count, int64_t unit) {
  int64_t next = 0;
  int64_t previous_units = -1;
  int64_t smallest = INT64_MAX, largest = 0;
  for (const Range& part : parts) {
    ASSERT_EQ(part.begin, next);
    ASSERT_LE(part.begin, part.end);
    if (part.end != count) {
      ASSERT_EQ(part.end % unit, 0);
    }
    const int64_t units = (part.size() + unit - 1) / unit;
    if (previous_units >= 0) {
      ASSERT_LE(units, previous_units);
    }
    previous_units = units;
    smallest = std::min(smallest, units);
    largest = std::max(largest, units);
    next = part.end;
  }
  ASSERT_EQ(next, count);
  ASSERT_LE(largest - smallest, 1);
}

class ShardSpecTest : public testing::TestWithParam<std::pair<int64_t, int64_t>> {};

TEST_P(ShardSpecTest, EveryHeadUnitAndRowIsHeldExactlyOnce) {
  const auto [num_heads, num_kv_heads] = GetParam();
  for (const int64_t intermediate : {1, 63, 64, 65, 176, 4864, 8960, 18944, 29568, 640}) {
    for (const int64_t vocab : {1, 64, 259, 1000, 151936, 152064}) {
      for (int size = 1; size <= kLargestGroup; ++size) {
        SCOPED_TRACE(testing::Message()
                     << "intermediate " << intermediate << " vocab " << vocab << " ranks " << size);
        std::vector<Range> heads, units, rows;
        for (int rank = 0; rank < size; ++rank) {
          const ShardSpec spec =
              MakeShardSpec({num_heads, num_kv_heads, intermediate, vocab}, rank, size);
          EXPECT_EQ(spec.rank, rank);
          EXPECT_EQ(spec.size, size);
          heads.push_back(spec.heads);
          units.push_back(spec.intermediate);
          rows.push_back(spec.vocab);
        }
        ExpectPartition(heads, num_heads, 1);
        ExpectPartition(units, intermediate, kShardUnit);
        ExpectPartition(rows, vocab, kShardUnit);
      }
    }
  }
}

TEST_P(ShardSpecTest, ARankHoldsExactlyTheKvHeadsThatItsHeadsRead) {
  const auto [num_heads, num_kv_heads] = GetParam();
  for (int size = 1; size <= kLargestGroup; ++size) {
    for (int rank = 0; rank < size; ++rank) {
      const ShardSpec spec = MakeShardSpec({num_heads, num_kv_heads, 64, 64}, rank, size);
      ASSERT_EQ(static_cast<int64_t>(spec.kv_head_of.size()), spec.heads.size());
      std::set<int64_t> held;
      for (int64_t i = 0; i < spec.heads.size(); ++i) {
        const int64_t kv_head = spec.kv_heads.begin + spec.kv_head_of[static_cast<size_t>(i)];
        EXPECT_EQ(kv_head, (spec.heads.begin + i) / (num_heads / num_kv_heads));
        held.insert(kv_head);
      }
      EXPECT_EQ(static_cast<int64_t>(held.size()), spec.kv_heads.size());
      if (spec.heads.size() == 0) {
        EXPECT_EQ(spec.kv_heads.size(), 0);
      } else {
        EXPECT_EQ(*held.begin(), spec.kv_heads.begin);
        EXPECT_EQ(*held.rbegin(), spec.kv_heads.end - 1);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(HeadCounts, ShardSpecTest,
                         testing::Values(std::pair{14, 2}, std::pair{12, 2}, std::pair{28, 4},
                                         std::pair{64, 8}, std::pair{1, 1}, std::pair{7, 1},
                                         std::pair{4, 4}, std::pair{16, 16}, std::pair{40, 8}));

TEST(ShardSpecTest, KvHeadIsReplicatedAtARangeEdge) {
  // 14 query heads on 2 KV heads, three ranks: heads 0-4, 5-9, 10-13; KV head 0 serves 0-6.
  const ShardDims dims{14, 2, 4864, 151936};
  EXPECT_EQ(MakeShardSpec(dims, 0, 3).kv_heads, (Range{0, 1}));
  EXPECT_EQ(MakeShardSpec(dims, 1, 3).kv_heads, (Range{0, 2}));
  EXPECT_EQ(MakeShardSpec(dims, 2, 3).kv_heads, (Range{1, 2}));
  EXPECT_EQ(MakeShardSpec(dims, 1, 3).kv_head_of, (std::vector<int32_t>{0, 0, 1, 1, 1}));
}

TEST(ShardSpecTest, TheLastUnitMayBeShort) {
  EXPECT_EQ(SplitRange(176, 64, 0, 2), (Range{0, 128}));
  EXPECT_EQ(SplitRange(176, 64, 1, 2), (Range{128, 176}));
}

TEST(ShardSpecTest, ARankBeyondTheUnitsHoldsNothing) {
  EXPECT_EQ(SplitRange(100, 64, 2, 3), (Range{100, 100}));
  EXPECT_EQ(MakeShardSpec({2, 1, 64, 64}, 2, 3).kv_head_of.size(), 0u);
}

}  // namespace
}  // namespace phalanx
