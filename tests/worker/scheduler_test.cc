#include "worker/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int32_t kVocabSize = 1000;
constexpr int32_t kEos = 7;

SchedulerConfig SmallConfig() {
  SchedulerConfig config;
  config.limits = {.max_num_seqs = 4,
                   .max_num_tokens = 16,
                   .max_model_len = 64,
                   .vocab_size = kVocabSize,
                   .block_size = 4,
                   .num_blocks = 32};
  return config;
}

// `num_tokens` ids from `first` up.
std::vector<int32_t> Ids(int32_t num_tokens, int32_t first = 100) {
  std::vector<int32_t> ids(static_cast<size_t>(num_tokens));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

EngineRequest Request(uint64_t id, int32_t num_prompt, int32_t max_tokens, int32_t first = 0) {
  EngineRequest request;
  request.id = id;
  request.prompt_ids = Ids(num_prompt, first == 0 ? static_cast<int32_t>(id) * 100 : first);
  request.params.max_tokens = max_tokens;
  return request;
}

// One sample for every work that asks for it.
std::vector<SampledToken> SampleAll(const StepPlan& plan, int32_t token = 500) {
  std::vector<SampledToken> samples;
  for (const SequenceWork& work : plan.work) {
    if (work.sample == SequenceWork::Sample::kLast) samples.push_back({work.slot, token});
  }
  return samples;
}

class Driver {
 public:
  explicit Driver(const SchedulerConfig& config) : config_(config), scheduler_(config) {}

  Scheduler& scheduler() { return scheduler_; }
  void Add(EngineRequest request) {
    const Status status = scheduler_.Add(std::move(request));
    ASSERT_TRUE(status.ok()) << status;
  }
  StepPlan Schedule() {
    StepPlan plan = scheduler_.Schedule();
    const Status status = Validate(plan, config_.limits);
    EXPECT_TRUE(status.ok()) << status;
    return plan;
  }
  std::vector<TokenOutput> Step(int32_t token = 500) {
    plan_ = Schedule();
    tokens_of_.clear();
    for (const SequenceWork& work : plan_.work) {
      tokens_of_[scheduler_.RequestInSlot(work.slot)] = static_cast<int32_t>(work.tokens.size());
    }
    return scheduler_.Commit(SampleAll(plan_, token));
  }
  const StepPlan& plan() const { return plan_; }
  // How many tokens of a request the last plan held.
  int32_t TokensOf(uint64_t request) const {
    const auto it = tokens_of_.find(request);
    return it == tokens_of_.end() ? 0 : it->second;
  }

 private:
  SchedulerConfig config_;
  Scheduler scheduler_;
  StepPlan plan_;
  std::map<uint64_t, int32_t> tokens_of_;
};

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

// ------------------------------------------------------------------------------------------------
// Prefix cache

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

TEST(SchedulerTest, TakesWholeBlocksOfEqualPrefixesFromTheCache) {
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

TEST(SchedulerTest, SharesNoBlocksAcrossSaltsOrWhereItIsOff) {
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

TEST(SchedulerTest, CachesOutputTooSoThatTheNextTurnStartsFromIt) {
  Driver driver(SmallConfig());
  EngineRequest request = Request(1, 8, 6, 100);
  CachedTokens(driver, request);  // the output is 500, six times; the sixth is never an input
  request = Request(2, 8, 6, 100);
  request.prompt_ids.insert(request.prompt_ids.end(), 6, 500);
  EXPECT_EQ(CachedTokens(driver, request), 12);
}

TEST(SchedulerTest, PromptLogprobsBypassTheCacheAndAskForEveryPosition) {
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

TEST(SchedulerTest, PromptLogprobsOfALongPromptLeaveLogitsToOthers) {
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

TEST(SchedulerTest, EqualPromptsThatRanTogetherEndUpInTheSameBlocks) {
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

// ------------------------------------------------------------------------------------------------
// Groups

EngineRequest Choice(uint64_t id, int32_t num_prompt) {
  EngineRequest request = Request(id, num_prompt, 6, 100);
  request.group = 77;
  return request;
}

TEST(SchedulerTest, ChoicesOfAGroupWaitForTheFirstPromptAndShareIt) {
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

TEST(SchedulerTest, AGroupGoesOnWhenItsFirstChoiceEndsEarly) {
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

TEST(SchedulerTest, ChoicesStartTogetherWhereNothingCanBeShared) {
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

// ------------------------------------------------------------------------------------------------
// Preemption

TEST(SchedulerTest, PreemptsTheNewestAndRecomputesIt) {
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

TEST(SchedulerTest, PreemptsTheLowestPriorityFirst) {
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

// ------------------------------------------------------------------------------------------------
// Fairness

TEST(SchedulerTest, SmallRequestsDoNotOvertakeALargeOneUnderFcfs) {
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

TEST(SchedulerTest, ALowPriorityRequestIsServedAlthoughHigherOnesKeepComing) {
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

TEST(SchedulerTest, ALongPromptDoesNotHoldUpDecodes) {
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

TEST(SchedulerTest, DecodesThatFillTheBudgetLeavePrefillItsShare) {
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

TEST(SchedulerTest, FewLogitRowsAreShared) {
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
