#include "tests/worker/scheduler_driver.h"

#include <gtest/gtest.h>

#include <numeric>

namespace phalanx {

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

std::vector<int32_t> Ids(int32_t num_tokens, int32_t first) {
  std::vector<int32_t> ids(static_cast<size_t>(num_tokens));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

EngineRequest Request(uint64_t id, int32_t num_prompt, int32_t max_tokens, int32_t first) {
  EngineRequest request;
  request.id = id;
  request.prompt_ids = Ids(num_prompt, first == 0 ? static_cast<int32_t>(id) * 100 : first);
  request.params.max_tokens = max_tokens;
  return request;
}

std::vector<SampledToken> SampleAll(const StepPlan& plan, int32_t token) {
  std::vector<SampledToken> samples;
  for (const SequenceWork& work : plan.work) {
    if (work.sample == SequenceWork::Sample::kLast) samples.push_back({work.slot, token});
  }
  return samples;
}

void Driver::Add(EngineRequest request) {
  const Status status = scheduler_.Add(std::move(request));
  ASSERT_TRUE(status.ok()) << status;
}

StepPlan Driver::Schedule() {
  StepPlan plan = scheduler_.Schedule();
  const Status status = Validate(plan, config_.limits);
  EXPECT_TRUE(status.ok()) << status;
  return plan;
}

std::vector<TokenOutput> Driver::Step(int32_t token) {
  plan_ = Schedule();
  tokens_of_.clear();
  for (const SequenceWork& work : plan_.work) {
    tokens_of_[scheduler_.RequestInSlot(work.slot)] = static_cast<int32_t>(work.tokens.size());
  }
  return scheduler_.Commit(SampleAll(plan_, token));
}

int32_t Driver::TokensOf(uint64_t request) const {
  const auto it = tokens_of_.find(request);
  return it == tokens_of_.end() ? 0 : it->second;
}

}  // namespace phalanx
