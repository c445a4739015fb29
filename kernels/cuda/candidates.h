// Launchers of kernels/candidates.h, in two stages over all tasks of a launch. The first reads the
// rows, in chunks so that one row occupies the whole device, and leaves a summary of each chunk and
// the maximum of each group of 32 columns. The second is a block a task: it merges the summaries
// and finds the largest logits among the few groups that can hold them.
//
// Everything follows a fixed order that depends on the number of columns alone; there are no
// atomics. Pointers are global memory.
#pragma once

#include <cstdint>

#include "kernels/candidates.h"
#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

inline constexpr int kGroupColumns = 32;
inline constexpr int kChunkColumns = 1024;
constexpr int32_t NumGroups(int64_t cols) {
  return static_cast<int32_t>((cols + kGroupColumns - 1) / kGroupColumns);
}
constexpr int32_t NumChunks(int64_t cols) {
  return static_cast<int32_t>((cols + kChunkColumns - 1) / kChunkColumns);
}

// So many candidates of a task at most are sorted; more come in no order.
inline constexpr int kMaxSorted = 2048;

struct SelectionTask {
  const float* logits = nullptr;  // [cols]
  const float* raw = nullptr;     // [cols], or null
  uint64_t seed = 0;
  uint32_t choice = 0;
  uint32_t index = 0;
  float inv_temperature = 1.0F;
  float min_logit = 0.0F;
  int32_t wants_gumbel = 0;
  int32_t top_k = 0;            // at most cols
  int32_t target_column = -1;   // none, or one of the columns
  int32_t first_candidate = 0;  // of the task, among all candidates
};

struct ChunkSummary {
  uint32_t max_key = 0;  // kernels/cuda/logit_key.h; 0: nothing to choose
  float sum_exp = 0.0F;  // relative to the chunk's maximum
  int32_t num_nan = 0;
  uint32_t gumbel_key = 0;  // of the best score; 0: none
  int32_t gumbel_column = 0;
};

struct SelectedToken {
  int32_t id = -1;
  float logit = 0.0F;
  float raw = 0.0F;  // where the task has a raw row
};

struct SelectionResult {
  double sum_exp = 0.0;
  float max = 0.0F;
  int32_t num_nan = 0;
  float gumbel_score = 0.0F;
  float target_logit = 0.0F;
  SelectedToken gumbel{};
  int32_t num_candidates = 0;
};

struct SelectionParams {
  int64_t cols = 0;
  int64_t first_id = 0;
  int32_t num_tasks = 0;
  int32_t num_chunks = 0;                // NumChunks(cols)
  int32_t num_groups = 0;                // NumGroups(cols)
  const SelectionTask* tasks = nullptr;  // [num_tasks]
  ChunkSummary* chunks = nullptr;        // [num_tasks, num_chunks]
  uint32_t* group_max = nullptr;         // [num_tasks, num_groups] keys
  SelectionResult* results = nullptr;    // [num_tasks]
  SelectedToken* candidates = nullptr;   // by first_candidate
};
void LaunchSummarizeLogits(Stream& stream, const SelectionParams& params);
// After it.
void LaunchSelectCandidates(Stream& stream, const SelectionParams& params);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
