// What sampling keeps on a device and sends there: each slot's adjusted tokens, which stay, a
// step's rows and tasks, and the results, which come back in one copy.
//
// All memory is there before the first step, none is taken later:
// - A slot has places for as many adjusted tokens as can ever count on this rank: those among its
//   columns, of a sequence as long as the cache's blocks can hold and of kMaxBiases biases. That is
//   the smaller of two figures, the rank's columns (19 thousand of Qwen2's vocabulary on 8 ranks)
//   and the longest sequence + kMaxBiases, times 16 bytes and max_num_seqs. Other ranks' tokens
//   are not kept.
// - What a step sends and what it selects have room for usual steps at their largest: every row
//   with a mask, tens of bans and of changed tokens, kTopPCandidates and log-probabilities. A step
//   that asks for more (a sequence that comes with a long output, say, or a top-k of the whole
//   vocabulary) goes in several copies through the same memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/adjust_logits.h"
#include "kernels/cuda/candidates.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/send_places.h"
#include "kernels/step_limits.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

class StepSampling {
 public:
  // For steps within `limits`; what lies on the device becomes part of `plan`, which is allocated
  // before the first call of Adjust or Select. RESOURCE_EXHAUSTED without memory.
  static StatusOr<std::unique_ptr<StepSampling>> Create(Device& device, const StepLimits& limits,
                                                        MemoryPlan& plan);

  // Logits have at most limits.num_logit_cols columns, and slots are below limits.max_num_seqs.
  void Adjust(const TensorView& logits, int64_t first_id, std::span<const RowAdjustment> rows);
  Status Select(const TensorView& logits, int64_t first_id, std::span<const CandidateTask> tasks,
                std::span<CandidateResult> results);
  // Waits for what is enqueued, and fills the results of every Select since the last call unless
  // something failed.
  Status Finish();

 private:
  // Which of a row's tokens have which place among its slot's.
  struct Slot {
    std::vector<int32_t> places;  // by index into RowAdjustment::tokens; -1: another rank's
    int32_t num_tokens = 0;
  };
  // Where a selection's results lie, on the device and in `received_`.
  struct Pending {
    std::span<CandidateResult> results;
    size_t results_at;     // bytes
    size_t candidates_at;  // bytes
    std::vector<SelectionTask> tasks;
  };
  // Where what a row refers to is staged.
  struct StagedRow {
    size_t mask;
    size_t bans;
  };

  StepSampling(Device& device, const StepLimits& limits);
  bool IsMine(int32_t id) const { return id >= first_id_ && id - first_id_ < cols_; }
  // The row's slot on the device once `updates_` has been carried out.
  AdjustedRow Keep(const RowAdjustment& row);
  // Stages the rows from `first` on that there is still room for; returns how many.
  size_t StageRows(const TensorView& logits, std::span<const RowAdjustment> rows, size_t first);
  // Sends what is staged, `num_updates` and the rows, and adjusts these.
  void SendAndAdjust(size_t num_updates);
  // The bytes, at a multiple of 8 of what Adjust sends.
  template <typename T>
  size_t Stage(std::span<const T> values);
  std::span<const uint32_t> MyWords(const RowAdjustment& row) const;
  // Those of the tasks from `first` on that there is room for, one at least: to `tasks_`.
  void LayTasks(const TensorView& logits, std::span<const CandidateTask> tasks, size_t first);
  void LaunchTasks(std::span<CandidateResult> results);
  void Deliver();

  Device& device_;
  const StepLimits limits_;
  const int32_t most_tokens_;  // of a slot
  const size_t most_tasks_;    // of a launch
  const size_t arrays_bytes_;
  const size_t results_bytes_;
  // Of the logits that are being adjusted or selected from.
  int64_t first_id_ = 0;
  int64_t cols_ = 0;

  std::vector<Slot> slots_;  // [max_num_seqs]
  std::vector<TokenUpdate> updates_;
  std::vector<AdjustedRow> kept_rows_;  // of all rows, as far as Keep knows them
  std::vector<AdjustedRow> rows_;       // that are sent together
  std::vector<StagedRow> staged_rows_;  // of these
  std::vector<uint64_t> staging_;
  std::vector<int32_t> bans_;
  std::unique_ptr<SendPlaces> array_places_;

  std::vector<SelectionTask> tasks_;
  std::unique_ptr<SendPlaces> task_places_;
  size_t results_used_ = 0;
  std::vector<Pending> pending_;
  std::unique_ptr<PinnedBuffer> received_;
  std::vector<SelectedToken> tokens_;  // of a task

  // On the device.
  void* slot_tokens_ = nullptr;  // [max_num_seqs, most_tokens_] TokenAdjustment
  void* arrays_ = nullptr;       // [arrays_bytes_]
  void* sent_tasks_ = nullptr;   // [most_tasks_] SelectionTask
  void* chunks_ = nullptr;       // [most_tasks_, NumChunks(num_logit_cols)] ChunkSummary
  void* group_max_ = nullptr;    // [most_tasks_, NumGroups(num_logit_cols)]
  void* results_ = nullptr;      // [results_bytes_]
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
