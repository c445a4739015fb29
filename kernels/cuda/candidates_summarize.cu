// Four warps to a chunk of 1,024 columns, which each thread keeps in registers: a row of 151,936 is
// 149 blocks. 4 bytes a column are read.
#include "kernels/cuda/candidates.h"
#include "kernels/cuda/gumbel.h"
#include "kernels/cuda/logit_key.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kGroupsPerWarp = kChunkColumns / kThreads;  // and columns of a thread
constexpr int kWarpColumns = kGroupsPerWarp * kGroupColumns;
static_assert(kGroupColumns == kWarpSize);

PHALANX_DEVICE uint32_t Larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

struct Best {
  uint32_t key = 0;
  int32_t column = 0;
};

// The best score of the warp's columns, the lowest column among equals. Most columns could not win
// even with the largest variate, and of the others most not with a variate of their word's size:
// only few need the logarithms. A later column has to exceed the best one so far.
PHALANX_DEVICE Best BestScore(const uint32_t (&keys)[kGroupsPerWarp], int64_t first_column,
                              int64_t first_id, const SelectionTask& task) {
  const float inv_temperature = task.inv_temperature;
  const float min_logit = task.min_logit;
  const uint64_t seed = task.seed;
  const uint32_t index = task.index;
  const uint32_t choice = task.choice;
  uint32_t best = 0;  // of the warp
  Best mine;
  PHALANX_UNROLL
  for (int j = 0; j < kGroupsPerWarp; ++j) {
    const auto column = static_cast<int32_t>(first_column + j * kGroupColumns + LaneIndex());
    const float logit = KeyValue(keys[j]);
    const float scaled = logit * inv_temperature;
    const bool may_win =
        keys[j] != 0 && logit >= min_logit && OrderedKey(scaled + kMaxGumbel) > best;
    if (Ballot(may_win) == 0) continue;
    const uint32_t word = PhiloxWord(seed, static_cast<uint32_t>(first_id + column), index, choice);
    const bool can_win = may_win && OrderedKey(scaled + GumbelBound(word)) > best;
    if (Ballot(can_win) == 0) continue;
    const uint32_t key = can_win ? OrderedKey(scaled + GumbelOf(word)) : 0;
    if (key > mine.key) mine = {key, column};
    best = Larger(best, WarpMax(key));
  }
  const bool wins = best != 0 && mine.key == best;
  return {best, static_cast<int32_t>(~WarpMax(wins ? ~static_cast<uint32_t>(mine.column) : 0U))};
}

PHALANX_KERNEL(kThreads) SummarizeLogitsKernel(const SelectionParams params) {
  SharedMemory shared;
  auto* const max_keys = shared.Array<uint32_t>(kWarps);
  auto* const sums = shared.Array<float>(kWarps);
  auto* const num_nans = shared.Array<int32_t>(kWarps);
  auto* const best_keys = shared.Array<uint32_t>(kWarps);
  auto* const best_columns = shared.Array<int32_t>(kWarps);
  const int64_t cols = params.cols;
  const SelectionTask& task = params.tasks[BlockY()];
  const float* const logits = task.logits;
  const int lane = LaneIndex();
  const int warp = WarpIndex();
  const int64_t first_column = int64_t{BlockX()} * kChunkColumns + warp * kWarpColumns;

  uint32_t keys[kGroupsPerWarp];
  int32_t num_nan = 0;
  PHALANX_UNROLL
  for (int j = 0; j < kGroupsPerWarp; ++j) {
    const int64_t column = first_column + j * kGroupColumns + lane;
    const float logit = column < cols ? logits[column] : -kFloatInfinity;
    if (!(logit < kFloatInfinity)) ++num_nan;
    keys[j] = LogitKey(logit);
  }
  uint32_t max_key = 0;
  uint32_t group_max = 0;  // of the group with the lane's index
  PHALANX_UNROLL
  for (int j = 0; j < kGroupsPerWarp; ++j) {
    const uint32_t of_group = WarpMax(keys[j]);
    if (lane == j) group_max = of_group;
    max_key = Larger(max_key, of_group);
  }
  const int64_t num_groups = params.num_groups;
  const int64_t group = first_column / kGroupColumns + lane;
  if (lane < kGroupsPerWarp && group < num_groups) {
    params.group_max[BlockY() * num_groups + group] = group_max;
  }
  num_nan = WarpSum(num_nan);
  if (lane == 0) {
    max_keys[warp] = max_key;
    num_nans[warp] = num_nan;
  }
  SyncThreads();
  PHALANX_UNROLL
  for (int w = 0; w < kWarps; ++w) max_key = Larger(max_key, max_keys[w]);

  float sum = 0.0F;
  const float max = KeyValue(max_key);
  PHALANX_UNROLL
  for (int j = 0; j < kGroupsPerWarp; ++j) {
    if (keys[j] != 0) sum += Weight(keys[j], max, task.inv_temperature);
  }
  sum = WarpSum(sum);
  Best best;
  if (task.wants_gumbel != 0) best = BestScore(keys, first_column, params.first_id, task);
  if (lane == 0) {
    sums[warp] = sum;
    best_keys[warp] = best.key;
    best_columns[warp] = best.column;
  }
  SyncThreads();
  if (ThreadIndex() != 0) return;
  sum = 0.0F;
  num_nan = 0;
  best = {};
  PHALANX_UNROLL
  for (int w = 0; w < kWarps; ++w) {
    sum += sums[w];
    num_nan += num_nans[w];
    if (best_keys[w] > best.key) best = {best_keys[w], best_columns[w]};
  }
  ChunkSummary& summary = params.chunks[int64_t{BlockY()} * params.num_chunks + BlockX()];
  summary.max_key = max_key;
  summary.sum_exp = sum;
  summary.num_nan = num_nan;
  summary.gumbel_key = best.key;
  summary.gumbel_column = best.column;
}

}  // namespace

void LaunchSummarizeLogits(Stream& stream, const SelectionParams& params) {
  if (params.num_tasks == 0 || params.cols == 0) return;
  Launch<SummarizeLogitsKernel>(
      stream, "summarize_logits",
      {.grid_x = params.num_chunks,
       .grid_y = params.num_tasks,
       .threads = kThreads,
       .shared_bytes = 3 * SharedBytes<uint32_t>(kWarps) + 2 * SharedBytes<int32_t>(kWarps)},
      params);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
