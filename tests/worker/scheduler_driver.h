// A small scheduler and requests for it, driven step by step without ranks.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "worker/scheduler.h"

namespace phalanx {

inline constexpr int32_t kVocabSize = 1000;
inline constexpr int32_t kEos = 7;

// 4 slots, steps of 16 tokens, 32 blocks of 4 tokens.
SchedulerConfig SmallConfig();

// `num_tokens` ids from `first` up.
std::vector<int32_t> Ids(int32_t num_tokens, int32_t first = 100);

// Its prompt starts at id 100 * `id` where `first` is 0.
EngineRequest Request(uint64_t id, int32_t num_prompt, int32_t max_tokens, int32_t first = 0);

// One sample for every work that asks for it.
std::vector<SampledToken> SampleAll(const StepPlan& plan, int32_t token = 500);

class Driver {
 public:
  explicit Driver(const SchedulerConfig& config) : config_(config), scheduler_(config) {}

  Scheduler& scheduler() { return scheduler_; }
  // Fails the current test where the request is refused.
  void Add(EngineRequest request);
  // Fails the current test where the plan is not valid.
  StepPlan Schedule();
  // Every sample of the step is `token`.
  std::vector<TokenOutput> Step(int32_t token = 500);
  const StepPlan& plan() const { return plan_; }
  // How many tokens of a request the last plan held.
  int32_t TokensOf(uint64_t request) const;

 private:
  SchedulerConfig config_;
  Scheduler scheduler_;
  StepPlan plan_;
  std::map<uint64_t, int32_t> tokens_of_;
};

}  // namespace phalanx
