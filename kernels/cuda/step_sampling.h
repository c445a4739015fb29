// What sampling keeps on a device and sends there: each slot's tokens, which stay, a step's rows
// and tasks, and the results, which come back in one copy.
//
// Memory is set aside by Prepare. Only what few requests ask for grows later, by doubling: a slot's
// tokens, which can be as many as its context or the vocabulary has, and candidates of a larger
// top-k than kTopPCandidates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/adjust_logits.h"
#include "kernels/cuda/candidates.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/send_places.h"
#include "kernels/step_limits.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// Errors: RESOURCE_EXHAUSTED without memory.
class StepSampling {
 public:
  // For the largest step.
  Status Prepare(Device& device, const StepLimits& limits);
  Status Adjust(Device& device, const TensorView& logits, int64_t first_id,
                std::span<const RowAdjustment> rows);
  Status Select(Device& device, const TensorView& logits, int64_t first_id,
                std::span<const CandidateTask> tasks, std::span<CandidateResult> results);
  // Waits for what is enqueued, and fills the results of every Select since the last call unless
  // something failed.
  Status Finish(Device& device);

 private:
  // What is sent, and where it arrives.
  struct Sent {
    std::unique_ptr<SendPlaces> places;
    std::unique_ptr<CudaBuffer> on_device;

    Status Reserve(Device& device, size_t bytes, std::string_view name);
    void Send(const void* from, size_t bytes);
  };
  // Where a selection's results lie, on the device and in `received_`.
  struct Pending {
    std::span<CandidateResult> results;
    size_t results_at;     // bytes
    size_t candidates_at;  // bytes
    std::vector<SelectionTask> tasks;
  };

  // The slot's tokens on the device once `updates_` has been carried out.
  StatusOr<const TokenAdjustment*> Keep(Device& device, const RowAdjustment& row);
  // The bytes, at a multiple of 8 of what Adjust sends.
  template <typename T>
  size_t Stage(std::span<const T> values);
  size_t StageMask(const RowAdjustment& row, int64_t first_id, int64_t cols);
  Status ReserveSelection(Device& device, size_t num_tasks, int64_t cols);
  Status ReserveResults(Device& device, size_t bytes);
  void Deliver();

  std::vector<std::unique_ptr<CudaBuffer>> slots_;  // each one's tokens
  std::vector<TokenUpdate> updates_;
  std::vector<AdjustedRow> rows_;
  std::vector<uint64_t> staging_;
  Sent adjustments_;

  std::vector<SelectionTask> tasks_;
  Sent sent_tasks_;
  std::unique_ptr<CudaBuffer> chunks_;
  std::unique_ptr<CudaBuffer> group_max_;
  std::unique_ptr<CudaBuffer> results_;
  size_t results_used_ = 0;
  std::vector<Pending> pending_;
  std::unique_ptr<PinnedBuffer> received_;
  std::vector<SelectedToken> tokens_;  // of a task
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
