// A block a task. The k-th largest group maximum is a lower bound of the k-th largest logit, so
// only groups that reach it are read again; what they hold from there on is usually little more
// than k columns and is sorted (Batcher 1968). Where it is more (a small shard, ties), the k-th
// largest is selected by its digits first, as radix select does (Alabi et al. 2012).
//
// A warp counts digits with votes: each lane owns one of 32 digits and needs five votes to see
// which lanes hold it (Ashkiani et al. 2016). So counting is exact, in order, and takes as long for
// equal digits as for different ones.
#include "kernels/cuda/candidates.h"
#include "kernels/cuda/logit_key.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kDigitBits = 5;
constexpr int kTopShift = 30;  // of a key's first digit, which has 2 bits

struct SelectShared {
  uint32_t* words;   // [kWarps]
  int32_t* counts;   // [kThreads]
  double* sums;      // [kThreads]
  uint64_t* sorted;  // [kMaxSorted]
};
constexpr size_t kSharedBytes = SharedBytes<uint32_t>(kWarps) + SharedBytes<int32_t>(kThreads) +
                                SharedBytes<double>(kThreads) + SharedBytes<uint64_t>(kMaxSorted);

PHALANX_DEVICE uint32_t BlockMax(uint32_t value, uint32_t* words) {
  value = WarpMax(value);
  if (LaneIndex() == 0) words[WarpIndex()] = value;
  SyncThreads();
  const uint32_t max = WarpMax(LaneIndex() < kWarps ? words[LaneIndex()] : 0);
  SyncThreads();
  return max;
}

// The sum of what the warps' lanes agree on.
PHALANX_DEVICE int32_t BlockSum(int32_t of_warp, uint32_t* words) {
  if (LaneIndex() == 0) words[WarpIndex()] = static_cast<uint32_t>(of_warp);
  SyncThreads();
  int32_t sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += static_cast<int32_t>(words[warp]);
  SyncThreads();
  return sum;
}

// A fixed tree over the threads.
PHALANX_DEVICE double BlockSum(double value, double* sums) {
  sums[ThreadIndex()] = value;
  SyncThreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (ThreadIndex() < half) sums[ThreadIndex()] += sums[ThreadIndex() + half];
    SyncThreads();
  }
  return sums[0];
}

// Lanes of the warp before this one that vote, and all.
PHALANX_DEVICE int VotesBelow(unsigned votes) {
  return PopCount(votes & ((1U << LaneIndex()) - 1));
}

// How many lanes have the digit that is this lane's index.
PHALANX_DEVICE int32_t CountDigit(bool counts, uint32_t digit) {
  unsigned same = Ballot(counts);
  if (same == 0) return 0;
  PHALANX_UNROLL
  for (int bit = 0; bit < kDigitBits; ++bit) {
    const unsigned votes = Ballot((digit >> bit & 1) != 0);
    same &= (LaneIndex() >> bit & 1) != 0 ? votes : ~votes;
  }
  return PopCount(same);
}

// The group maxima as a source of keys: warps together take all in turn.
struct GroupMaxima {
  const uint32_t* keys;
  int num_groups;

  template <typename Visit>
  PHALANX_DEVICE void ForEach(const Visit& visit) const {
    for (int base = WarpIndex() * kWarpSize; base < num_groups; base += kThreads) {
      const int group = base + LaneIndex();
      visit(group < num_groups ? keys[group] : 0U, 0);
    }
  }
};

// The columns of groups that reach `low`.
struct RowElements {
  const float* logits;
  int32_t cols;
  GroupMaxima groups;
  uint32_t low;

  // Of the 32 groups from `base` on, in the order of columns. Some groups' loads are under way at
  // once.
  template <typename Visit>
  PHALANX_DEVICE void VisitUnit(int base, const Visit& visit) const {
    constexpr int kAtOnce = 4;
    const int group = base + LaneIndex();
    unsigned left = Ballot(group < groups.num_groups && groups.keys[group] >= low);
    while (left != 0) {
      int32_t columns[kAtOnce];
      uint32_t found[kAtOnce];
      PHALANX_UNROLL
      for (int i = 0; i < kAtOnce; ++i) {
        columns[i] = left == 0 ? cols : (base + LowestBit(left)) * kGroupColumns + LaneIndex();
        left &= left - 1;
        found[i] = columns[i] < cols ? LogitKey(logits[columns[i]]) : 0;
      }
      PHALANX_UNROLL
      for (int i = 0; i < kAtOnce; ++i) visit(found[i], columns[i]);
    }
  }
  template <typename Visit>
  PHALANX_DEVICE void ForEach(const Visit& visit) const {
    for (int base = WarpIndex() * kWarpSize; base < groups.num_groups; base += kThreads) {
      VisitUnit(base, visit);
    }
  }
};

// What is taken: keys above `key`, and the first `num_equal` that equal it.
struct Threshold {
  uint32_t key;
  int32_t num_above;
  int32_t num_equal;
};

// Where the k largest keys that are not 0 begin; all, where there are fewer.
template <typename Source>
PHALANX_DEVICE Threshold FindThreshold(const Source& source, int32_t k, int32_t* counts) {
  uint32_t prefix = 0;
  int32_t wanted = k;
  PHALANX_NO_UNROLL
  for (int shift = kTopShift; shift >= 0; shift -= kDigitBits) {
    int32_t count = 0;
    source.ForEach([&](uint32_t key, int32_t /*column*/) {
      // Two shifts, because the first digit has nothing above it.
      const bool fits = (key >> shift >> kDigitBits) == prefix;
      count += CountDigit(key != 0 && fits, key >> shift & 31);
    });
    counts[ThreadIndex()] = count;
    SyncThreads();
    int32_t total = 0;
    for (int warp = 0; warp < kWarps; ++warp) total += counts[warp * kWarpSize + LaneIndex()];
    SyncThreads();
    int32_t at_least = total;  // with the lane's digit or a larger one
    PHALANX_UNROLL
    for (int step = 1; step < kWarpSize; step *= 2) {
      const int32_t above = ShuffleFrom(at_least, LaneIndex() + step);
      if (LaneIndex() + step < kWarpSize) at_least += above;
    }
    const unsigned enough = Ballot(at_least >= wanted);
    if (enough == 0) return {0, k, 0};
    const int digit = PopCount(enough) - 1;
    wanted -= ShuffleFrom(at_least - total, digit);
    prefix = prefix << kDigitBits | static_cast<uint32_t>(digit);
  }
  return {prefix, k - wanted, wanted};
}

struct Collected {
  const SelectionTask& task;
  int64_t first_id;
  uint64_t* sorted;  // null: straight to `out`
  SelectedToken* out;

  PHALANX_DEVICE void Put(int32_t place, uint32_t key, int32_t column) const {
    if (sorted != nullptr) {
      // Equal keys in the order of columns.
      sorted[place] = uint64_t{key} << 32 | ~static_cast<uint32_t>(column);
    } else {
      Write(place, column);
    }
  }
  PHALANX_DEVICE void Write(int32_t place, int32_t column) const {
    const float logit = task.logits[column];
    SelectedToken& token = out[place];
    token.id = static_cast<int32_t>(first_id + column);
    token.logit = logit;
    token.raw = task.raw == nullptr ? 0.0F : task.raw[column];
  }
};

// Keys above the threshold in the order of columns, and behind them, at num_above, the first equal
// ones.
PHALANX_DEVICE void Collect(const RowElements& row, const Threshold& threshold, int32_t* counts,
                            const Collected& to) {
  int32_t num_above = 0;
  int32_t num_equal = 0;
  for (int first = 0; first < row.groups.num_groups; first += kThreads) {
    const int base = first + WarpIndex() * kWarpSize;
    int32_t above = 0;
    int32_t equal = 0;
    row.VisitUnit(base, [&](uint32_t key, int32_t /*column*/) {
      above += PopCount(Ballot(key > threshold.key));
      equal += PopCount(Ballot(key != 0 && key == threshold.key));
    });
    if (LaneIndex() == 0) {
      counts[WarpIndex()] = above;
      counts[kWarps + WarpIndex()] = equal;
    }
    SyncThreads();
    int32_t above_at = num_above;
    int32_t equal_at = num_equal;
    for (int warp = 0; warp < kWarps; ++warp) {
      num_above += counts[warp];
      num_equal += counts[kWarps + warp];
      if (warp < WarpIndex()) {
        above_at += counts[warp];
        equal_at += counts[kWarps + warp];
      }
    }
    SyncThreads();
    row.VisitUnit(base, [&](uint32_t key, int32_t column) {
      const bool is_above = key > threshold.key;
      const bool is_equal = key != 0 && key == threshold.key;
      const unsigned above_votes = Ballot(is_above);
      const unsigned equal_votes = Ballot(is_equal);
      const int32_t equal_place = equal_at + VotesBelow(equal_votes);
      if (is_above) {
        to.Put(above_at + VotesBelow(above_votes), key, column);
      } else if (is_equal && equal_place < threshold.num_equal) {
        to.Put(threshold.num_above + equal_place, key, column);
      }
      above_at += PopCount(above_votes);
      equal_at += PopCount(equal_votes);
    });
  }
}

// Descending; `size` is a power of two.
PHALANX_DEVICE void SortDescending(uint64_t* values, int size) {
  for (int run = 2; run <= size; run *= 2) {
    for (int stride = run / 2; stride > 0; stride /= 2) {
      for (int pair = ThreadIndex(); pair < size / 2; pair += kThreads) {
        const int low = 2 * pair - (pair & (stride - 1));
        const uint64_t a = values[low];
        const uint64_t b = values[low + stride];
        if ((a < b) == ((low & run) == 0)) {
          values[low] = b;
          values[low + stride] = a;
        }
      }
      SyncThreads();
    }
  }
}

// Returns how many were written.
PHALANX_DEVICE int32_t SelectLargest(const SelectionParams& params, const SelectionTask& task,
                                     const GroupMaxima& groups, uint32_t max_key,
                                     const SelectShared& shared) {
  const int32_t k = task.top_k;
  uint32_t low = 1;
  if (k == 1) {
    low = max_key;
  } else if (k <= groups.num_groups) {
    const uint32_t of_groups = FindThreshold(groups, k, shared.counts).key;
    low = of_groups == 0 ? 1 : of_groups;
  }
  const RowElements row{task.logits, static_cast<int32_t>(params.cols), groups, low};
  int32_t of_warp = 0;
  row.ForEach([&](uint32_t key, int32_t /*column*/) { of_warp += PopCount(Ballot(key >= low)); });
  const int32_t num_reaching = BlockSum(of_warp, shared.words);
  // Few enough are all sorted.
  Threshold threshold{low - 1, 0, 0};
  int32_t count = num_reaching;
  if (num_reaching > kMaxSorted) {
    threshold = FindThreshold(row, k, shared.counts);
    if (k < count) count = k;
  }
  uint64_t* const sorted = count <= kMaxSorted ? shared.sorted : nullptr;
  const Collected collected{task, params.first_id, sorted,
                            params.candidates + task.first_candidate};
  Collect(row, threshold, shared.counts, collected);
  if (sorted == nullptr) return count;
  int size = 1;
  while (size < count) size *= 2;
  for (int i = count + ThreadIndex(); i < size; i += kThreads) sorted[i] = 0;
  SyncThreads();
  SortDescending(sorted, size);
  if (k < count) count = k;
  for (int i = ThreadIndex(); i < count; i += kThreads) {
    collected.Write(i, static_cast<int32_t>(~static_cast<uint32_t>(sorted[i])));
  }
  return count;
}

PHALANX_KERNEL(kThreads, 1) SelectCandidatesKernel(const SelectionParams params) {
  SharedMemory memory;
  SelectShared shared;
  shared.words = memory.Array<uint32_t>(kWarps);
  shared.counts = memory.Array<int32_t>(kThreads);
  shared.sums = memory.Array<double>(kThreads);
  shared.sorted = memory.Array<uint64_t>(kMaxSorted);
  const SelectionTask& task = params.tasks[BlockX()];
  const int32_t num_chunks = params.num_chunks;
  const ChunkSummary* const chunks = params.chunks + int64_t{BlockX()} * num_chunks;

  uint32_t max_key = 0;
  uint32_t best_key = 0;
  int32_t best_column = 0;
  int32_t num_nan = 0;
  for (int c = ThreadIndex(); c < num_chunks; c += kThreads) {
    if (chunks[c].max_key > max_key) max_key = chunks[c].max_key;
    num_nan += chunks[c].num_nan;
    if (chunks[c].gumbel_key > best_key) {
      best_key = chunks[c].gumbel_key;
      best_column = chunks[c].gumbel_column;
    }
  }
  max_key = BlockMax(max_key, shared.words);
  num_nan = BlockSum(WarpSum(num_nan), shared.words);
  const float max = KeyValue(max_key);
  double sum = 0.0;
  for (int c = ThreadIndex(); c < num_chunks; c += kThreads) {
    if (chunks[c].max_key == 0) continue;
    sum += static_cast<double>(chunks[c].sum_exp) *
           static_cast<double>(Weight(chunks[c].max_key, max, task.inv_temperature));
  }
  sum = BlockSum(sum, shared.sums);
  const uint32_t winner = BlockMax(best_key, shared.words);
  const bool wins = winner != 0 && best_key == winner;
  const auto winner_column = static_cast<int32_t>(
      ~BlockMax(wins ? ~static_cast<uint32_t>(best_column) : 0U, shared.words));

  SelectionResult& result = params.results[BlockX()];
  if (ThreadIndex() == 0) {
    result.sum_exp = sum;
    result.max = max_key == 0 ? -kFloatInfinity : max;
    result.num_nan = num_nan;
    result.gumbel_score = winner == 0 ? -kFloatInfinity : KeyValue(winner);
    result.target_logit = task.target_column < 0 ? 0.0F : task.logits[task.target_column];
    result.num_candidates = 0;
    result.gumbel.id = -1;
    result.gumbel.logit = 0.0F;
    result.gumbel.raw = 0.0F;
    const Collected gumbel{task, params.first_id, nullptr, &result.gumbel};
    if (winner != 0) gumbel.Write(0, winner_column);
  }
  if (task.top_k == 0 || max_key == 0) return;
  const GroupMaxima groups{params.group_max + int64_t{BlockX()} * params.num_groups,
                           params.num_groups};
  const int32_t num_candidates = SelectLargest(params, task, groups, max_key, shared);
  if (ThreadIndex() == 0) result.num_candidates = num_candidates;
}

}  // namespace

void LaunchSelectCandidates(Stream& stream, const SelectionParams& params) {
  if (params.num_tasks == 0) return;
  Launch<SelectCandidatesKernel>(
      stream, "select_candidates",
      {.grid_x = params.num_tasks, .threads = kThreads, .shared_bytes = kSharedBytes}, params);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
