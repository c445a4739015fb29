// Who goes first and who has to wait: preemption, policies, shares of a step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/worker/scheduler_driver.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;

// ------------------------------------------------------------------------------------------------
// Preemption

TEST(SchedulerPreemptionTest, PreemptsTheNewestAndRecomputesIt) {
  SchedulerConfig config = SmallConfig();
  config.limits.num_blocks = 6;
  config.prefix_caching = PrefixCaching::kOff;
  Driver driver(config);
  driver.Add(Request(1, 7, 14));
  driver.Add(Request(2, 7, 14));
  std::map<uint64_t, std::vector<int32_t>> indices;
  bool was_recomputed = false;
  for (int32_t token = 500; driver.scheduler().HasWork(); ++token) {
    for (const TokenOutput& output : driver.Step(token)) {
      indices[output.request].push_back(output.index);
    }
    EXPECT_GT(driver.TokensOf(1) + static_cast<int32_t>(indices[1].size() == 14), 0)
        << "the oldest always goes on";
    for (const SlotInit& init : driver.plan().inits) {
      if (init.emitted_ids.empty()) continue;
      was_recomputed = true;
      EXPECT_EQ(init.prompt_ids, Ids(7, 200));
      EXPECT_EQ(driver.plan().work.back().start_position, 0);
      std::vector<int32_t> known = init.prompt_ids;
      known.insert(known.end(), init.emitted_ids.begin(), init.emitted_ids.end());
      EXPECT_EQ(driver.plan().work.back().tokens, known) << "literals, as the slot is new";
    }
  }
  EXPECT_TRUE(was_recomputed);
  EXPECT_GE(driver.scheduler().stats().num_preemptions, 1);
  EXPECT_EQ(indices[1], Ids(14, 0));
  EXPECT_EQ(indices[2], Ids(14, 0));
}

TEST(SchedulerPreemptionTest, PreemptsTheLowestPriorityFirst) {
  SchedulerConfig config = SmallConfig();
  config.limits.num_blocks = 9;
  config.policy = SchedulingPolicy::kPriority;
  config.prefix_caching = PrefixCaching::kOff;
  Driver driver(config);
  EngineRequest low = Request(1, 7, 14);
  low.priority = 5;
  driver.Add(low);
  driver.Add(Request(2, 7, 14));
  driver.Add(Request(3, 7, 14));
  std::vector<uint64_t> finished;
  while (driver.scheduler().HasWork()) {
    for (const TokenOutput& output : driver.Step()) {
      if (output.finish != FinishReason::kNone) finished.push_back(output.request);
    }
  }
  EXPECT_THAT(finished, ElementsAre(2, 3, 1));
  EXPECT_GE(driver.scheduler().stats().num_preemptions, 1);
}

// Twice as much demand as blocks for a long time: recomputation must stay a fraction of the work,
// not feed on itself.
TEST(SchedulerPreemptionTest, AnOvercommittedPoolDoesNotThrash) {
  for (const PrefixCaching caching : {PrefixCaching::kOff, PrefixCaching::kOn}) {
    SchedulerConfig config;
    config.limits = {.max_num_seqs = 64,
                     .max_num_tokens = 512,
                     .max_model_len = 4096,
                     .vocab_size = 50000,
                     .block_size = 16,
                     .num_blocks = 600};
    config.prefix_caching = caching;
    Driver driver(config);
    size_t needed_tokens = 0;
    for (uint64_t id = 1; id <= 40; ++id) {
      const auto variety = static_cast<int32_t>(id * 37 % 100);
      const int32_t num_prompt = 250 + 5 * variety;
      const int32_t max_tokens = 800 - 6 * variety;
      driver.Add(Request(id, num_prompt, max_tokens));
      needed_tokens += static_cast<size_t>(num_prompt + max_tokens - 1);
    }
    size_t run_tokens = 0;
    while (driver.scheduler().HasWork()) {
      driver.Step();
      for (const SequenceWork& work : driver.plan().work) run_tokens += work.tokens.size();
    }
    EXPECT_GT(driver.scheduler().stats().num_preemptions, 5);
    EXPECT_LT(driver.scheduler().stats().num_preemptions, 80) << "two for each request";
    EXPECT_LT(static_cast<double>(run_tokens), 1.5 * static_cast<double>(needed_tokens));
  }
}

TEST(SchedulerPreemptionTest, SaysHowManyPlacesBlocksLeave) {
  SchedulerConfig config = SmallConfig();
  config.limits.num_blocks = 6;
  config.limits.max_num_seqs = 2;
  config.prefix_caching = PrefixCaching::kOff;
  Driver driver(config);
  const auto places_after_step = [&] {
    driver.Step();
    return driver.scheduler().stats().num_places;
  };
  driver.Add(Request(1, 7, 3));
  EXPECT_EQ(places_after_step(), 2);
  driver.Add(Request(2, 20, 2));
  EXPECT_EQ(places_after_step(), 1) << "the next one waits for blocks";
  while (driver.TokensOf(2) == 0) driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_places, 2);

  config.limits.max_num_seqs = 1;
  Driver short_of_slots(config);
  short_of_slots.Add(Request(1, 7, 3));
  short_of_slots.Add(Request(2, 20, 2));
  short_of_slots.Step();
  EXPECT_EQ(short_of_slots.scheduler().stats().num_places, 1);
}

// ------------------------------------------------------------------------------------------------
// Fairness

TEST(SchedulerFairnessTest, SmallRequestsDoNotOvertakeALargeOneUnderFcfs) {
  SchedulerConfig config = SmallConfig();
  config.limits.num_blocks = 12;
  config.prefix_caching = PrefixCaching::kOff;
  Driver driver(config);
  driver.Add(Request(1, 20, 10));
  driver.Step();
  driver.Add(Request(2, 36, 4));
  uint64_t next_id = 3;
  int32_t num_steps = 0;
  for (bool has_started = false; !has_started; ++num_steps) {
    ASSERT_LT(num_steps, 20) << "the large request starves";
    driver.Add(Request(next_id, 2, 2, 100));
    ++next_id;
    driver.Step();
    has_started = driver.TokensOf(2) > 0;
  }
}

TEST(SchedulerFairnessTest, WhoIsDueEarlierGoesFirst) {
  SchedulerConfig config = SmallConfig();
  config.limits.max_num_seqs = 1;
  Driver driver(config);
  for (const auto& [id, fair_start] : {std::pair(1, 50), {2, 20}, {3, 20}, {4, 0}}) {
    EngineRequest request = Request(static_cast<uint64_t>(id), 4, 1);
    request.fair_start = fair_start;
    driver.Add(request);
  }
  std::vector<uint64_t> finished;
  while (driver.scheduler().HasWork()) {
    for (const TokenOutput& output : driver.Step()) finished.push_back(output.request);
  }
  EXPECT_THAT(finished, ElementsAre(4, 2, 3, 1));
}

TEST(SchedulerFairnessTest, NoMoreRunThanTheLimitSays) {
  Driver driver(SmallConfig());
  driver.scheduler().LimitRunning(2);
  for (uint64_t id = 1; id <= 4; ++id) driver.Add(Request(id, 2, 10));
  driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_running, 2);
  EXPECT_EQ(driver.scheduler().stats().num_waiting, 2);
  EXPECT_EQ(driver.scheduler().stats().num_places, 2);
  driver.scheduler().LimitRunning(1000);
  EXPECT_EQ(driver.scheduler().stats().num_places, 4) << "as many as there are slots";
  driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_running, 4);
}

TEST(SchedulerFairnessTest, WhatRunsBeyondALowerLimitGoesOn) {
  Driver driver(SmallConfig());
  for (uint64_t id = 1; id <= 3; ++id) driver.Add(Request(id, 2, 2 + static_cast<int32_t>(id)));
  driver.Step();
  driver.scheduler().LimitRunning(1);
  driver.Add(Request(4, 2, 2));
  for (int32_t num_running = 3; num_running > 0; --num_running) {
    EXPECT_EQ(driver.TokensOf(4), 0);
    for (size_t finished = 0; finished == 0;) {
      for (const TokenOutput& output : driver.Step()) {
        if (output.finish != FinishReason::kNone) ++finished;
      }
    }
  }
  EXPECT_EQ(driver.scheduler().stats().num_preemptions, 0);
  EXPECT_EQ(driver.scheduler().stats().num_waiting, 1);
  driver.Step();
  EXPECT_EQ(driver.TokensOf(4), 2);
}

TEST(SchedulerFairnessTest, ALowPriorityRequestIsServedAlthoughHigherOnesKeepComing) {
  SchedulerConfig config = SmallConfig();
  config.policy = SchedulingPolicy::kPriority;
  config.limits.max_num_seqs = 1;
  config.aging_steps = 10;
  Driver driver(config);
  EngineRequest low = Request(1, 4, 2);
  low.priority = 3;
  driver.Add(Request(2, 4, 2));
  driver.Add(low);
  int32_t num_steps = 0;
  int32_t num_overtakers = 0;
  uint64_t next_id = 3;
  for (bool is_done = false; !is_done; ++num_steps) {
    // 3 levels * 10 steps of arrivals, each served in 2 steps.
    ASSERT_LT(num_steps, 66) << "the request of priority 3 starves";
    driver.Add(Request(next_id, 4, 2, 100));
    ++next_id;
    for (const TokenOutput& output : driver.Step()) {
      if (output.finish == FinishReason::kNone) continue;
      is_done = output.request == 1;
      if (!is_done) ++num_overtakers;
    }
  }
  EXPECT_GT(num_overtakers, 10) << "priority means something";
}

TEST(SchedulerFairnessTest, ALongPromptDoesNotHoldUpDecodes) {
  Driver driver(SmallConfig());
  driver.Add(Request(1, 4, 10));
  driver.Add(Request(2, 4, 10));
  driver.Step();
  driver.Add(Request(3, 60, 4));
  for (int step = 0; step < 5; ++step) {
    driver.Step();
    EXPECT_EQ(driver.TokensOf(1), 1);
    EXPECT_EQ(driver.TokensOf(2), 1);
    EXPECT_GT(driver.TokensOf(3), 0);
  }
}

TEST(SchedulerFairnessTest, DecodesThatFillTheBudgetLeavePrefillItsShare) {
  for (int32_t max_num_tokens : {1, 2, 4}) {
    SCOPED_TRACE(max_num_tokens);
    SchedulerConfig config = SmallConfig();
    config.limits.max_num_seqs = 6;
    config.limits.max_num_tokens = max_num_tokens;
    Driver driver(config);
    for (uint64_t id = 1; id <= 5; ++id) driver.Add(Request(id, 1, 30));
    while (driver.scheduler().stats().num_running < 5) driver.Step();
    driver.Add(Request(6, 8, 4));
    std::map<uint64_t, int32_t> num_tokens;
    for (int step = 0; step < 20; ++step) {
      driver.Step();
      for (uint64_t id = 1; id <= 6; ++id) num_tokens[id] += driver.TokensOf(id);
    }
    EXPECT_GE(num_tokens[6], 8) << "the prompt is through";
    for (uint64_t id = 1; id <= 5; ++id) {
      EXPECT_GE(num_tokens[id], 2 * max_num_tokens - 1) << "decodes take turns; request " << id;
    }
  }
}

TEST(SchedulerFairnessTest, FewLogitRowsAreShared) {
  SchedulerConfig config = SmallConfig();
  config.max_num_logit_rows = 1;
  Driver driver(config);
  for (uint64_t id = 1; id <= 3; ++id) driver.Add(Request(id, 3, 3));
  EngineRequest request = Request(4, 5, 3);
  request.params.prompt_logprobs = 1;
  driver.Add(request);
  int32_t num_tokens = 0;
  for (int step = 0; step < 30; ++step) {
    num_tokens += static_cast<int32_t>(driver.Step().size());
    size_t num_logits = 0;
    for (const SequenceWork& work : driver.plan().work) num_logits += work.logit_offsets.size();
    EXPECT_LE(num_logits, 1u);
  }
  EXPECT_EQ(num_tokens, 12);
}

}  // namespace
}  // namespace phalanx
