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

}  // namespace
}  // namespace phalanx
