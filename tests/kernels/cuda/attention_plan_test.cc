// Plans cover every pair of a row and a key once, within the workspace.
#include "kernels/cuda/attention_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

#include "tests/testing/inputs.h"

namespace phalanx::cuda {
namespace {

// What is wrong with a plan; empty: nothing.
std::string Complaint(const AttentionPlan& plan, std::span<const SequenceRows> sequences,
                      std::span<const KvHeadGroup> groups, const AttentionPlanOptions& options) {
  // (row, head) to its ranges of keys, and to its partials.
  std::map<std::pair<int32_t, int32_t>, std::map<int32_t, int32_t>> ranges;
  std::map<std::pair<int32_t, int32_t>, std::vector<int32_t>> partials;
  std::set<int32_t> seen;
  for (size_t i = 0; i < plan.items.size(); ++i) {
    const AttentionItem& item = plan.items[i];
    const bool small = i < static_cast<size_t>(plan.num_small);
    const int32_t warps = small ? 1 : options.large_warps;
    if (item.num_pairs < 1 || item.num_pairs > warps * kAttentionWarpRows) {
      return "pairs of an item";
    }
    if (item.kv_begin % kAttentionKvTile != 0 || item.kv_end <= item.kv_begin) return "keys";
    if (options.mode == Numerics::kExact && item.first_partial != kNoPartial &&
        (item.kv_begin % kExactSplitTokens != 0 ||
         item.kv_end > item.kv_begin + kExactSplitTokens)) {
      return "a part that is not one split";
    }
    for (int32_t p = 0; p < item.num_pairs; ++p) {
      const int32_t pair = item.first_pair + p;
      const int32_t token = pair / item.heads.num_heads;
      if (token >= item.rows.num_rows) return "a pair behind the last row";
      const std::pair at{item.rows.first_row + token,
                         item.heads.first_head + pair % item.heads.num_heads};
      if (!ranges[at].emplace(item.kv_begin, item.kv_end).second) return "keys that are read twice";
      if (item.first_partial == kNoPartial) continue;
      if (!seen.insert(item.first_partial + p).second) return "a partial of two";
      if (item.first_partial + p >= plan.num_partials) return "a partial that is not counted";
      partials[at].push_back(item.first_partial + p);
    }
  }
  size_t pairs = 0;
  for (const SequenceRows& sequence : sequences) {
    for (const KvHeadGroup& group : groups) {
      for (int32_t t = 0; t < sequence.num_rows; ++t) {
        for (int32_t h = 0; h < group.num_heads; ++h, ++pairs) {
          int32_t end = 0;
          for (const auto& [from, to] : ranges[{sequence.first_row + t, group.first_head + h}]) {
            if (from != end) return "keys that nobody reads";
            end = to;
          }
          if (end <= sequence.first_position + t) return "last keys that nobody reads";
        }
      }
    }
  }
  if (pairs != ranges.size()) return "rows that are not the batch's";
  for (const AttentionCombination& combination : plan.combinations) {
    std::set<int32_t> named;
    for (int32_t i = 0; i < combination.num_parts; ++i) {
      named.insert(combination.first_partial + i * combination.stride);
    }
    const auto& written = partials[{combination.row, combination.head}];
    if (named != std::set<int32_t>(written.begin(), written.end())) return "partials of a row";
    partials.erase({combination.row, combination.head});
  }
  if (!partials.empty()) return "partials that nobody combines";
  if (plan.num_partials > options.max_partials) return "more partials than there is room for";
  return "";
}

TEST(AttentionPlanTest, EveryPlanCoversItsRowsAndKeys) {
  testing::Generator generator(5);
  const auto below = [&](int32_t n) {
    return static_cast<int32_t>(generator() % static_cast<uint64_t>(n));
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<int32_t> kv_head_of;
    const int32_t num_kv_heads = 1 + below(3);
    for (int32_t g = 0; g < num_kv_heads; ++g) {
      kv_head_of.insert(kv_head_of.end(), static_cast<size_t>(below(20)), g);
    }
    const std::vector<KvHeadGroup> groups = GroupHeads(kv_head_of, num_kv_heads);
    std::vector<SequenceRows> sequences;
    int32_t row = 0;
    for (int32_t s = below(5); s >= 0; --s) {
      sequences.push_back({row, below(2) == 0 ? 1 : below(90), below(3000)});
      row += sequences.back().num_rows;
    }
    const AttentionPlanOptions options{
        .mode = below(2) == 0 ? Numerics::kFast : Numerics::kExact,
        .num_multiprocessors = 1 + below(30),
        .max_partials = below(3) * 1000,
        .large_warps = below(2) == 0 ? kAttentionFewerWarps : kAttentionLargeWarps};
    const AttentionPlan plan = PlanAttention(sequences, groups, options);
    ASSERT_EQ(Complaint(plan, sequences, groups, options), "") << "round " << round;
    const int64_t bound =
        MaxAttentionItems(groups, row, static_cast<int64_t>(sequences.size()), options);
    EXPECT_LE(static_cast<int64_t>(plan.items.size()), bound);
    EXPECT_LE(static_cast<int64_t>(plan.combinations.size()), bound);
  }
}

TEST(AttentionPlanTest, OneLongSequenceFillsTheDevice) {
  const std::vector<KvHeadGroup> groups = {{0, 7}, {7, 7}};
  const SequenceRows sequence{0, 1, 131071};
  for (const Numerics mode : {Numerics::kFast, Numerics::kExact}) {
    const AttentionPlan plan =
        PlanAttention({&sequence, 1}, groups,
                      {.mode = mode, .num_multiprocessors = 132, .max_partials = 1 << 20});
    EXPECT_GE(plan.num_small, 2 * 132);
    EXPECT_LE(plan.num_small, mode == Numerics::kFast ? 4 * 132 : 2 * 512);
    EXPECT_EQ(plan.num_large(), 0);
  }
}

TEST(AttentionPlanTest, ManyShortSequencesAreNotCut) {
  const std::vector<KvHeadGroup> groups = {{0, 7}};
  const std::vector<SequenceRows> sequences(200, {0, 1, 255});
  const AttentionPlan plan =
      PlanAttention(sequences, groups, {.num_multiprocessors = 132, .max_partials = 1 << 20});
  EXPECT_EQ(plan.items.size(), 200U);
  EXPECT_EQ(plan.num_partials, 0);
}

TEST(AttentionPlanTest, HeadsAreGroupedByKvHead) {
  const std::vector<int32_t> kv_head_of = {0, 0, 0, 2};
  const std::vector<KvHeadGroup> groups = GroupHeads(kv_head_of, 3);
  EXPECT_EQ(groups[0].num_heads, 3);
  EXPECT_EQ(groups[1].num_heads, 0);
  EXPECT_EQ(groups[2].first_head, 3);
  EXPECT_EQ(groups[2].num_heads, 1);
}

}  // namespace
}  // namespace phalanx::cuda
