// A request's life: how it is planned, when it ends, what is refused, how it is cancelled.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/scheduler_driver.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(SchedulerTest, PrefillsInChunksThenDecodes) {
  Driver driver(SmallConfig());
  driver.Add(Request(1, 20, 3));

  EXPECT_THAT(driver.Step(), IsEmpty());
  ASSERT_THAT(driver.plan().inits, SizeIs(1));
  EXPECT_EQ(driver.plan().inits[0].prompt_ids, Ids(20));
  EXPECT_THAT(driver.plan().inits[0].emitted_ids, IsEmpty());
  ASSERT_THAT(driver.plan().work, SizeIs(1));
  EXPECT_EQ(driver.plan().work[0].tokens, Ids(16));
  EXPECT_EQ(driver.plan().work[0].sample, SequenceWork::Sample::kNo);
  EXPECT_THAT(driver.plan().work[0].logit_offsets, IsEmpty());

  auto outputs = driver.Step();
  EXPECT_THAT(driver.plan().inits, IsEmpty());
  EXPECT_EQ(driver.plan().work[0].start_position, 16);
  EXPECT_EQ(driver.plan().work[0].tokens, Ids(4, 116));
  EXPECT_THAT(driver.plan().work[0].logit_offsets, ElementsAre(3));
  ASSERT_THAT(outputs, SizeIs(1));
  EXPECT_EQ(outputs[0].request, 1u);
  EXPECT_EQ(outputs[0].index, 0);
  EXPECT_EQ(outputs[0].token_id, 500);
  EXPECT_EQ(outputs[0].finish, FinishReason::kNone);

  outputs = driver.Step(501);
  EXPECT_THAT(driver.plan().work[0].tokens, ElementsAre(kLastSample));
  EXPECT_EQ(driver.plan().work[0].start_position, 20);
  EXPECT_THAT(driver.plan().work[0].block_table, SizeIs(6));
  EXPECT_EQ(outputs[0].index, 1);

  outputs = driver.Step();
  EXPECT_EQ(outputs[0].finish, FinishReason::kLength);
  EXPECT_FALSE(driver.scheduler().HasWork());
  EXPECT_EQ(driver.scheduler().stats().num_free_blocks, 32);
  EXPECT_THAT(driver.scheduler().Schedule().work, IsEmpty());
}

TEST(SchedulerTest, DecodesComeFirstAndPrefillFillsTheBudget) {
  Driver driver(SmallConfig());
  driver.Add(Request(1, 4, 20));
  driver.Step();
  driver.Add(Request(2, 40, 4));
  driver.Step();
  ASSERT_THAT(driver.plan().work, SizeIs(2));
  EXPECT_THAT(driver.plan().work[0].tokens, ElementsAre(kLastSample));
  EXPECT_THAT(driver.plan().work[1].tokens, SizeIs(15));
}

TEST(SchedulerTest, FinishesAtEosStopTokenAndMaxTokens) {
  Driver driver(SmallConfig());
  EngineRequest request = Request(1, 4, 9);
  request.params.eos_token_ids = {kEos};
  request.params.stop_token_ids = {11, 12};
  driver.Add(request);
  EXPECT_EQ(driver.Step(kEos)[0].finish, FinishReason::kEos);
  request.id = 2;
  driver.Add(request);
  driver.Step(500);
  const auto outputs = driver.Step(12);
  EXPECT_EQ(outputs[0].finish, FinishReason::kStopToken);
  EXPECT_EQ(outputs[0].token_id, 12);
  EXPECT_EQ(outputs[0].index, 1);
  EXPECT_FALSE(driver.scheduler().HasWork());
}

TEST(SchedulerTest, ContinuesReplayedOutputAtTheNextIndex) {
  Driver driver(SmallConfig());
  EngineRequest request = Request(1, 6, 4);
  request.emitted_ids = {300, 301};
  driver.Add(request);
  const auto outputs = driver.Step();
  EXPECT_THAT(driver.plan().inits[0].emitted_ids, ElementsAre(300, 301));
  EXPECT_THAT(driver.plan().work[0].tokens, SizeIs(8));
  EXPECT_EQ(outputs[0].index, 2);
  EXPECT_EQ(driver.Step()[0].finish, FinishReason::kLength);
}

// ------------------------------------------------------------------------------------------------
// Refusals

void ExpectRefused(Scheduler& scheduler, const EngineRequest& request, std::string_view field,
                   std::string_view message) {
  const Status status = scheduler.Add(request);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.field(), field);
  EXPECT_THAT(status.message(), HasSubstr(std::string(message)));
  EXPECT_FALSE(scheduler.HasWork());
}

TEST(SchedulerTest, RefusesWhatCanNeverFitWithWords) {
  Scheduler scheduler(SmallConfig());
  ExpectRefused(scheduler, Request(0, 4, 1, 100), "id", "is 0");
  ExpectRefused(scheduler, Request(1, 0, 1), "prompt", "is 0 tokens, allowed: 1 to 63 tokens");
  ExpectRefused(scheduler, Request(1, 64, 1), "prompt", "is 64 tokens, allowed: 1 to 63 tokens");
  ExpectRefused(scheduler, Request(1, 4, 1, 997), "prompt",
                "is 1000 at index 3, allowed: token ids from 0 to 999");
  ExpectRefused(scheduler, Request(1, 4, 0), "max_tokens", "is 0");
  ExpectRefused(scheduler, Request(1, 60, 5), "max_tokens",
                "is 5, allowed: 1 to 4 after a prompt of 60 tokens (max_model_len is 64");
  EngineRequest request = Request(1, 4, 2);
  request.emitted_ids = {1, 2};
  ExpectRefused(scheduler, request, "emitted_ids", "fewer than max_tokens, which is 2");
  request.emitted_ids = {-1};
  ExpectRefused(scheduler, request, "emitted_ids", "is -1 at index 0");
  request.emitted_ids.clear();
  request.params.stop_token_ids = {5, 5};
  ExpectRefused(scheduler, request, "stop_token_ids", "an id above 5");
  request.params.stop_token_ids.clear();
  request.params.logit_bias = {{1000, 1.0F}};
  ExpectRefused(scheduler, request, "logit_bias", "is 1000");
}

TEST(SchedulerTest, RefusesWhatExceedsThePoolAndTakesWhatJustFits) {
  SchedulerConfig config = SmallConfig();
  config.limits.num_blocks = 5;  // 20 tokens of KV, and the last token needs none
  Scheduler scheduler(config);
  ExpectRefused(scheduler, Request(1, 21, 1), "prompt", "the KV cache has 5 blocks of 4 tokens");
  ExpectRefused(scheduler, Request(1, 15, 7), "max_tokens", "1 to 6 after a prompt of 15 tokens");
  Driver driver(config);
  driver.Add(Request(1, 15, 6));
  int32_t num_tokens = 0;
  while (driver.scheduler().HasWork()) num_tokens += static_cast<int32_t>(driver.Step().size());
  EXPECT_EQ(num_tokens, 6);
}

TEST(SchedulerTest, RefusesAnIdInUse) {
  Scheduler scheduler(SmallConfig());
  ASSERT_TRUE(scheduler.Add(Request(3, 4, 1)).ok());
  const Status status = scheduler.Add(Request(3, 4, 1));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.field(), "id");
}

// ------------------------------------------------------------------------------------------------
// Cancellation

TEST(SchedulerTest, HoldsBlocksOfACancelledRequestWhileItsPlanIsInFlight) {
  Driver driver(SmallConfig());
  driver.Add(Request(1, 8, 4));
  const StepPlan plan = driver.Schedule();
  EXPECT_EQ(driver.scheduler().stats().num_free_blocks, 30);
  EXPECT_EQ(driver.scheduler().RequestInSlot(plan.work[0].slot), 1u);
  EXPECT_TRUE(driver.scheduler().Cancel(1));
  EXPECT_FALSE(driver.scheduler().Cancel(1));
  EXPECT_EQ(driver.scheduler().stats().num_running, 0);
  EXPECT_EQ(driver.scheduler().stats().num_free_blocks, 30);
  EXPECT_EQ(driver.scheduler().RequestInSlot(plan.work[0].slot), 1u);
  // Its id may be used again at once; its token goes nowhere.
  driver.Add(Request(1, 8, 4));
  EXPECT_THAT(driver.scheduler().Commit(SampleAll(plan)), IsEmpty());
  EXPECT_EQ(driver.scheduler().stats().num_free_blocks, 32);
  EXPECT_EQ(driver.scheduler().RequestInSlot(plan.work[0].slot), 0u);
  EXPECT_EQ(driver.Step()[0].cached_tokens, 0) << "KV of a failed step must not be shared";
}

TEST(SchedulerTest, CancelsWaitingAndRunningRequestsBetweenSteps) {
  SchedulerConfig config = SmallConfig();
  config.limits.max_num_seqs = 1;
  Driver driver(config);
  driver.Add(Request(1, 8, 4));
  driver.Add(Request(2, 8, 4));
  driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_waiting, 1);
  EXPECT_TRUE(driver.scheduler().Cancel(2));
  EXPECT_TRUE(driver.scheduler().Cancel(1));
  EXPECT_FALSE(driver.scheduler().Cancel(9));
  EXPECT_FALSE(driver.scheduler().HasWork());
  EXPECT_EQ(driver.scheduler().stats().num_free_blocks, 32);
  EXPECT_THAT(driver.Step(), IsEmpty());
}

}  // namespace
}  // namespace phalanx
