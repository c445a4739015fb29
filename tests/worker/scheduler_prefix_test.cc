// What sequences share: the prefix cache, and the prompt of a group of choices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/scheduler_driver.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Runs all work; the cached_tokens of the first token of `request`.
int32_t CachedTokens(Driver& driver, const EngineRequest& request) {
  driver.Add(request);
  int32_t cached = -1;
  while (driver.scheduler().HasWork()) {
    for (const TokenOutput& output : driver.Step()) {
      if (output.request == request.id) cached = output.cached_tokens;
    }
  }
  return cached;
}

TEST(SchedulerPrefixTest, TakesWholeBlocksOfEqualPrefixesFromTheCache) {
  Driver driver(SmallConfig());
  EXPECT_EQ(CachedTokens(driver, Request(1, 12, 1, 100)), 0);
  // The last prompt token is computed again, and with it its block.
  EXPECT_EQ(CachedTokens(driver, Request(2, 12, 1, 100)), 8);
  EXPECT_EQ(CachedTokens(driver, Request(3, 13, 1, 100)), 12);
  EngineRequest other_end = Request(4, 12, 1, 100);
  other_end.prompt_ids[6] = 1;
  EXPECT_EQ(CachedTokens(driver, other_end), 4);
  EXPECT_EQ(driver.scheduler().stats().prefix_cache_queries, 12 + 12 + 13 + 12);
  EXPECT_EQ(driver.scheduler().stats().prefix_cache_hits, 8 + 12 + 4);
}

TEST(SchedulerPrefixTest, SharesNoBlocksAcrossSaltsOrWhereItIsOff) {
  Driver driver(SmallConfig());
  CachedTokens(driver, Request(1, 12, 1, 100));
  EngineRequest salted = Request(2, 12, 1, 100);
  salted.cache_salt = "tenant";
  EXPECT_EQ(CachedTokens(driver, salted), 0);
  salted.id = 3;
  EXPECT_EQ(CachedTokens(driver, salted), 8);

  SchedulerConfig config = SmallConfig();
  config.prefix_caching = PrefixCaching::kOff;
  Driver without(config);
  CachedTokens(without, Request(1, 12, 1, 100));
  EXPECT_EQ(CachedTokens(without, Request(2, 12, 1, 100)), 0);
}

TEST(SchedulerPrefixTest, CachesOutputTooSoThatTheNextTurnStartsFromIt) {
  Driver driver(SmallConfig());
  EngineRequest request = Request(1, 8, 6, 100);
  CachedTokens(driver, request);  // the output is 500, six times; the sixth is never an input
  request = Request(2, 8, 6, 100);
  request.prompt_ids.insert(request.prompt_ids.end(), 6, 500);
  EXPECT_EQ(CachedTokens(driver, request), 12);
}

TEST(SchedulerPrefixTest, PromptLogprobsBypassTheCacheAndAskForEveryPosition) {
  SchedulerConfig config = SmallConfig();
  config.max_num_logit_rows = 5;
  Driver driver(config);
  CachedTokens(driver, Request(1, 12, 1, 100));
  EngineRequest request = Request(2, 12, 2, 100);
  request.params.prompt_logprobs = 0;
  driver.Add(request);
  std::vector<size_t> chunks;
  for (int step = 0; step < 4; ++step) {
    driver.Step();
    chunks.push_back(driver.plan().work[0].logit_offsets.size());
    EXPECT_EQ(driver.plan().work[0].tokens.size(), chunks.back());
  }
  EXPECT_THAT(chunks, ElementsAre(4, 4, 4, 1));
}

TEST(SchedulerPrefixTest, PromptLogprobsOfALongPromptLeaveLogitsToOthers) {
  SchedulerConfig config = SmallConfig();
  config.max_num_logit_rows = 4;
  Driver driver(config);
  EngineRequest request = Request(1, 40, 2);
  request.params.prompt_logprobs = 0;
  driver.Add(request);
  driver.Add(Request(2, 8, 2));
  const auto outputs = driver.Step();
  EXPECT_EQ(driver.TokensOf(1), 3);
  ASSERT_THAT(outputs, SizeIs(1));
  EXPECT_EQ(outputs[0].request, 2u);
}

TEST(SchedulerPrefixTest, EqualPromptsThatRanTogetherEndUpInTheSameBlocks) {
  Driver driver(SmallConfig());
  driver.Add(Request(1, 8, 9, 100));
  driver.Add(Request(2, 8, 9, 100));
  driver.Step();
  driver.Step();
  ASSERT_THAT(driver.plan().work, SizeIs(2));
  const auto& first = driver.plan().work[0].block_table;
  const auto& second = driver.plan().work[1].block_table;
  EXPECT_EQ(first[0], second[0]);
  EXPECT_EQ(first[1], second[1]);
  EXPECT_NE(first[2], second[2]);
}

TEST(SchedulerPrefixTest, APromptThatFillsThePoolRunsAgainstAFullCache) {
  SchedulerConfig config = SmallConfig();
  config.limits.num_blocks = 5;
  Driver driver(config);
  EXPECT_EQ(CachedTokens(driver, Request(1, 20, 1, 100)), 0);
  EXPECT_EQ(CachedTokens(driver, Request(2, 20, 1, 200)), 0) << "every block is evicted for it";
  EXPECT_EQ(CachedTokens(driver, Request(3, 20, 1, 200)), 16) << "its own blocks, all but the last";
  EXPECT_EQ(driver.scheduler().stats().num_preemptions, 0);
}

TEST(SchedulerPrefixTest, UnderPressureWhatWasUsedLongestAgoGoesFirst) {
  SchedulerConfig config = SmallConfig();
  config.limits.num_blocks = 12;
  Driver driver(config);
  CachedTokens(driver, Request(1, 12, 1, 100));
  CachedTokens(driver, Request(2, 12, 1, 200));
  CachedTokens(driver, Request(3, 12, 1, 300));
  EXPECT_EQ(CachedTokens(driver, Request(4, 13, 1, 100)), 12) << "and so used again";
  CachedTokens(driver, Request(5, 12, 1, 500));
  EXPECT_EQ(CachedTokens(driver, Request(6, 13, 1, 100)), 12);
  EXPECT_LT(CachedTokens(driver, Request(7, 13, 1, 200)), 12) << "the end of the oldest is gone";
}

TEST(SchedulerPrefixTest, APromptCancelledHalfwayLeavesWhatItHadComputed) {
  Driver driver(SmallConfig());
  driver.Add(Request(1, 40, 4, 100));
  driver.Step();
  const StepPlan plan = driver.Schedule();
  EXPECT_EQ(plan.work[0].start_position, 16);
  EXPECT_TRUE(driver.scheduler().Cancel(1));
  EXPECT_THAT(driver.scheduler().Commit(SampleAll(plan)), IsEmpty());
  EXPECT_EQ(driver.scheduler().stats().num_free_blocks, 32);
  EXPECT_EQ(driver.scheduler().stats().num_cached_blocks, 4) << "16 tokens in blocks of 4";
  EXPECT_EQ(CachedTokens(driver, Request(2, 40, 1, 100)), 16)
      << "of the first chunk, not the second";
}

// ------------------------------------------------------------------------------------------------
// Groups

EngineRequest Choice(uint64_t id, int32_t num_prompt) {
  EngineRequest request = Request(id, num_prompt, 6, 100);
  request.group = 77;
  return request;
}

TEST(SchedulerGroupTest, ChoicesOfAGroupWaitForTheFirstPromptAndShareIt) {
  Driver driver(SmallConfig());
  for (uint64_t id = 1; id <= 3; ++id) driver.Add(Choice(id, 18));
  driver.Add(Request(4, 2, 2));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(1), 16);
  driver.Step();
  EXPECT_EQ(driver.TokensOf(1), 2);
  EXPECT_EQ(driver.TokensOf(2), 0);
  EXPECT_EQ(driver.TokensOf(4), 2) << "others need not wait for the group";
  const auto outputs = driver.Step();
  EXPECT_EQ(driver.TokensOf(2), 2) << "16 of 18 tokens are shared";
  EXPECT_EQ(driver.TokensOf(3), 2);
  EXPECT_EQ(outputs.size(), 4u);
}

TEST(SchedulerGroupTest, AGroupGoesOnWhenItsFirstChoiceEndsEarly) {
  Driver driver(SmallConfig());
  for (uint64_t id = 1; id <= 3; ++id) driver.Add(Choice(id, 18));
  driver.Step();
  EXPECT_TRUE(driver.scheduler().Cancel(1));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(2), 2) << "the first chunk is in the cache";
  EXPECT_EQ(driver.TokensOf(3), 0);
  driver.Step();
  EXPECT_EQ(driver.TokensOf(3), 2);
}

TEST(SchedulerGroupTest, ChoicesStartTogetherWhereNothingCanBeShared) {
  SchedulerConfig config = SmallConfig();
  config.prefix_caching = PrefixCaching::kOff;
  Driver without(config);
  without.Add(Choice(1, 6));
  without.Add(Choice(2, 6));
  EXPECT_EQ(without.Step().size(), 2u);
  Driver short_prompts(SmallConfig());
  short_prompts.Add(Choice(1, 4));
  short_prompts.Add(Choice(2, 4));
  EXPECT_EQ(short_prompts.Step().size(), 2u);
}

TEST(SchedulerGroupTest, ChoicesThatDoNotFitTogetherAllFinish) {
  SchedulerConfig config = SmallConfig();
  config.limits.num_blocks = 8;  // one choice needs 6, of which 4 are shared
  Driver driver(config);
  for (uint64_t id = 1; id <= 4; ++id) driver.Add(Choice(id, 18));
  int32_t num_tokens = 0;
  for (int step = 0; driver.scheduler().HasWork(); ++step) {
    ASSERT_LT(step, 200);
    num_tokens += static_cast<int32_t>(driver.Step().size());
  }
  EXPECT_EQ(num_tokens, 4 * 6);
  EXPECT_EQ(driver.scheduler().stats().num_free_blocks, 8);
}

}  // namespace
}  // namespace phalanx
