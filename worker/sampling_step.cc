#include "worker/sampling_step.h"

#include <algorithm>

#include "worker/token_filter.h"

namespace phalanx {
namespace {

SamplingMethod MethodOf(const SamplingParams& params) {
  if (IsGreedy(params)) return SamplingMethod::kGreedy;
  return params.top_k > 0 || params.top_p < 1.0F ? SamplingMethod::kFiltered
                                                 : SamplingMethod::kGumbel;
}

}  // namespace

size_t SamplingStep::AddTask(const CandidateTask& task) {
  tasks_.push_back(task);
  return tasks_.size() - 1;
}

void SamplingStep::Lay(const StepPlan& plan, std::span<SlotState> slots) {
  prompt_.clear();
  tasks_.clear();
  size_t num_sampled = 0;
  size_t num_results = 0;
  int64_t row = 0;
  for (const SequenceWork& work : plan.work) {
    if (work.logit_offsets.empty()) continue;
    SlotState& slot = slots[static_cast<size_t>(work.slot)];
    const size_t result = num_results++;
    for (size_t i = 0; i < work.logit_offsets.size(); ++i, ++row) {
      const bool last = i + 1 == work.logit_offsets.size();
      if (last && work.sample == SequenceWork::Sample::kLast) {
        if (sampled_.size() == num_sampled) sampled_.emplace_back();
        SampledRow& sampled = sampled_[num_sampled++];
        sampled.result = result;
        sampled.row = row;
        sampled.slot = &slot;
        sampled.method = MethodOf(slot.params());
        sampled.adjusted = slot.HasAdjustments();
        sampled.raw = nullptr;
        if (sampled.WantsLogprobs())
          sampled.raw_task = AddTask({.row = row, .top_k = kMaxLogprobs});
        continue;
      }
      const auto next =
          static_cast<size_t>(int64_t{work.start_position} + work.logit_offsets[i] + 1);
      if (next >= slot.prompt_ids().size()) continue;
      const int32_t target = slot.prompt_ids()[next];
      prompt_.push_back({.result = result,
                         .row = row,
                         .target = target,
                         .num_logprobs = slot.params().prompt_logprobs,
                         .task = AddTask({.row = row, .top_k = kMaxLogprobs, .target = target})});
    }
  }
  sampled_.resize(num_sampled);
  num_raw_tasks_ = tasks_.size();
  for (SampledRow& sampled : sampled_) AddSampledTask(sampled);
}

void SamplingStep::AddSampledTask(SampledRow& row) {
  const SamplingParams& params = row.params();
  CandidateTask task{.row = row.row};
  switch (row.method) {
    case SamplingMethod::kGreedy:
      if (row.WantsLogprobs() && !row.adjusted) {
        row.task = row.raw_task;
        return;
      }
      task.top_k = 1;
      break;
    case SamplingMethod::kGumbel:
      task.gumbel = CandidateTask::Gumbel::kWanted;
      task.inv_temperature = InvTemperature(params);
      break;
    case SamplingMethod::kFiltered:
      task.top_k = params.top_k > 0 ? params.top_k : limits_.top_p_candidates;
      task.top_k = static_cast<int32_t>(std::min<int64_t>(task.top_k, limits_.vocab_size));
      task.inv_temperature = InvTemperature(params);
      break;
  }
  task.seed = params.seed;
  task.choice = params.choice;
  task.index = static_cast<uint32_t>(row.slot->output_index());
  row.task = AddTask(task);
}

}  // namespace phalanx
