#include "client/bench_requests.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace phalanx {
namespace {

TEST(BenchRequestsTest, AreAlikeUnlessSpread) {
  BenchLoad load{
      .num_prompts = 20, .prompt_tokens = 9, .output_tokens = 4, .temperature = 0.5, .seed = 3};
  std::set<std::vector<int32_t>> prompts;
  for (const v1::GenerateRequest& request : MakeBenchRequests(load, 1000)) {
    const auto& ids = request.token_ids().ids();
    prompts.emplace(ids.begin(), ids.end());
    EXPECT_EQ(ids.size(), 9);
    EXPECT_TRUE(std::ranges::all_of(ids, [](int32_t id) { return id >= 0 && id < 1000; }));
    EXPECT_EQ(request.sampling().max_tokens(), 4);
    EXPECT_TRUE(request.sampling().ignore_eos());
    EXPECT_EQ(request.sampling().temperature(), 0.5F);
    EXPECT_EQ(request.sampling().seed(), 3);
  }
  EXPECT_EQ(prompts.size(), 20);
  const auto again = MakeBenchRequests(load, 1000);
  EXPECT_EQ(again[7].SerializeAsString(), MakeBenchRequests(load, 1000)[7].SerializeAsString());
  load.seed = 4;
  EXPECT_NE(again[7].SerializeAsString(), MakeBenchRequests(load, 1000)[7].SerializeAsString());
}

TEST(BenchRequestsTest, APrefixIsSharedAndComesOnTop) {
  const auto requests =
      MakeBenchRequests({.num_prompts = 5, .prefix_tokens = 30, .prompt_tokens = 8}, 1000);
  const auto& first = requests[0].token_ids().ids();
  for (size_t i = 1; i < requests.size(); ++i) {
    const auto& ids = requests[i].token_ids().ids();
    ASSERT_EQ(ids.size(), 38);
    EXPECT_TRUE(std::equal(first.begin(), first.begin() + 30, ids.begin()));
    EXPECT_FALSE(std::equal(first.begin() + 30, first.end(), ids.begin() + 30));
  }
}

TEST(BenchRequestsTest, LengthsAreSpreadOverTheWholeRange) {
  std::set<int> prompts, outputs;
  for (const auto& request : MakeBenchRequests({.num_prompts = 2000,
                             .prefix_tokens = 1,
                             .prompt_tokens = 10,
                             .output_tokens = 4,
                             .range_ratio = 0.5},
                                               100)) {
    prompts.insert(request.token_ids().ids().size());
    outputs.insert(request.sampling().max_tokens());
  }
  EXPECT_EQ(prompts, (std::set<int>{6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}));
  EXPECT_EQ(outputs, (std::set<int>{2, 3, 4, 5, 6}));
  outputs.clear();
  for (const auto& request : MakeBenchRequests(
           {.num_prompts = 500, .prompt_tokens = 1, .output_tokens = 2, .range_ratio = 1}, 100)) {
    EXPECT_GE(request.token_ids().ids().size(), 1);
    outputs.insert(request.sampling().max_tokens());
  }
  EXPECT_EQ(outputs, (std::set<int>{1, 2, 3, 4}));
}

}  // namespace
}  // namespace phalanx
