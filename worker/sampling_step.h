// What the sampler has to do for one plan: which rows of the logits are sampled, which belong to
// prompt log-probabilities, and the candidate tasks (kernels/candidates.h) of both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/candidates.h"
#include "worker/slot_state.h"
#include "worker/step_plan.h"

namespace phalanx {

enum class SamplingMethod : uint8_t {
  kGreedy,
  kGumbel,    // no filter but min-p: an argmax on each shard
  kFiltered,  // top-k or top-p: candidates
};

struct SampledRow {
  size_t result = 0;  // index into the results
  int64_t row = 0;    // of the logits
  SlotState* slot = nullptr;
  SamplingMethod method = SamplingMethod::kGreedy;
  size_t raw_task = 0;  // valid where logprobs are wanted
  size_t task = 0;
  bool adjusted = false;
  const float* raw = nullptr;  // this rank's columns before they were adjusted, where wanted

  const SamplingParams& params() const { return slot->params(); }
  bool WantsLogprobs() const { return params().logprobs >= 0; }
  // Its raw logits are asked for once it has been adjusted.
  bool WantsRaw() const { return adjusted && WantsLogprobs(); }
  // Gumbel over the tokens within reach of the best one of all shards.
  bool NeedsMaximum() const { return method == SamplingMethod::kGumbel && params().min_p > 0.0F; }
};

struct PromptRow {
  size_t result = 0;
  int64_t row = 0;
  int32_t target = 0;        // the prompt token that follows
  int32_t num_logprobs = 0;  // alternatives wanted
  size_t task = 0;
};

struct SamplingLimits {
  int64_t vocab_size = 0;
  int32_t top_p_candidates = 0;  // per shard
};

class SamplingStep {
 public:
  explicit SamplingStep(const SamplingLimits& limits) : limits_(limits) {}

  // `slots`: by slot index; they must outlive the step. Results are counted in plan order, one per
  // work with logit offsets.
  void Lay(const StepPlan& plan, std::span<SlotState> slots);

  std::span<SampledRow> sampled() { return sampled_; }
  std::span<const PromptRow> prompt() const { return prompt_; }
  // Tasks on raw logits, then tasks on adjusted ones.
  std::span<CandidateTask> tasks() { return tasks_; }
  size_t num_raw_tasks() const { return num_raw_tasks_; }

 private:
  size_t AddTask(const CandidateTask& task);
  void AddSampledTask(SampledRow& row);

  SamplingLimits limits_;
  // Capacity is kept between steps.
  std::vector<SampledRow> sampled_;
  std::vector<PromptRow> prompt_;
  std::vector<CandidateTask> tasks_;
  size_t num_raw_tasks_ = 0;
};

}  // namespace phalanx
