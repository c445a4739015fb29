// A step's arrays and its plan of attention: written once a step into pinned memory of the host and
// sent to the device in one copy that nobody waits for. On the device there is one place: the copy
// comes behind the kernels that read the step before.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/send_places.h"
#include "kernels/forward_batch.h"
#include "kernels/step_limits.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

class StepStage {
 public:
  // Everything for the largest step; what lies on the device becomes part of `plan`, which is
  // allocated before the first call of Upload. RESOURCE_EXHAUSTED without memory.
  static StatusOr<std::unique_ptr<StepStage>> Create(Device& device, const StepLimits& limits,
                                                     Numerics numerics, MemoryPlan& plan);

  // The batch's arrays on the device, valid until the next call; `host` is within the limits. Its
  // block table becomes as narrow as the longest of its sequences.
  ForwardBatch Upload(const ForwardBatch& host);
  // The uploaded step's part of what attention takes.
  void Fill(AttentionParams& params) const;

 private:
  class Packer;

  StepStage(Device& device, const StepLimits& limits, Numerics numerics);
  size_t MaxBytes() const;
  int64_t PackBlockTable(const BatchView& batch);

  StepLimits limits_;
  std::vector<KvHeadGroup> groups_;
  AttentionPlanOptions plan_options_;

  std::unique_ptr<SendPlaces> places_;
  std::vector<int32_t> block_table_;  // narrowed
  std::vector<SequenceRows> sequences_;
  AttentionPlan plan_;
  const AttentionItem* items_ = nullptr;  // on the device, as what follows
  const AttentionCombination* combinations_ = nullptr;
  void* arrays_ = nullptr;
  void* partials_ = nullptr;  // sums, then weights
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
