// Which blocks of threads attend to what in one step: computed on the host once a step, used by
// every layer.
//
// The query heads of one KV head read the same keys, so they are packed: the rows of a sequence and
// a KV head are its (token, head) pairs, heads fastest, cut into tiles of at most 64 rows, or 32
// where a device has little shared memory. An item is a tile over a range of keys. Where a step has
// too few tiles to fill the device, long ranges are cut into parts, whose results wait as partials
// until they are combined in order.
//
// In exact mode, a row's keys are cut at multiples of kExactSplitTokens whoever computes it: a part
// is one such split, and an item over several of them merges them as the combination does. So no
// bit of a row depends on the plan.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/status.h"
#include "kernels/numerics.h"

namespace phalanx::cuda {

inline constexpr int kAttentionKvTile = 64;     // tokens
inline constexpr int kExactSplitTokens = 256;   // a multiple of the tile
inline constexpr int kAttentionWarpRows = 16;   // rows of a warp, and of a small item
inline constexpr int kAttentionLargeWarps = 4;  // of a large item
inline constexpr int kAttentionFewerWarps = 2;  // where shared memory has no room for that many

// What the kernels over the cache can take. INVALID_ARGUMENT naming head_dim, block_size or dtype.
Status CheckKvCache(int64_t head_dim, int64_t block_size, DType dtype);

// The rows of one sequence in the batch; their positions are consecutive.
struct SequenceRows {
  int32_t first_row = 0;  // in the batch
  int32_t num_rows = 0;
  int32_t first_position = 0;
};

// The query heads that read one KV head; none where num_heads is 0.
struct KvHeadGroup {
  int32_t first_head = 0;
  int32_t num_heads = 0;
};
// Element i is KV head i's; kv_head_of as HeadLayout has it.
std::vector<KvHeadGroup> GroupHeads(std::span<const int32_t> kv_head_of, int64_t num_kv_heads);

struct AttentionItem {
  int32_t sequence = 0;  // row of the block table
  int32_t kv_head = 0;
  KvHeadGroup heads{};
  SequenceRows rows{};
  int32_t first_pair = 0;  // of the rows' (token, head) pairs
  int32_t num_pairs = 0;
  int32_t kv_begin = 0;       // a multiple of kAttentionKvTile
  int32_t kv_end = 0;         // such a multiple, or one behind the last pair's position
  int32_t first_partial = 0;  // pair i's result is partial first_partial + i; kNoPartial: it is out
};
inline constexpr int32_t kNoPartial = -1;

// A row of the output and the partials that it is combined from: first_partial + i * stride.
struct AttentionCombination {
  int32_t row = 0;
  int32_t head = 0;
  int32_t first_partial = 0;
  int32_t stride = 0;
  int32_t num_parts = 0;
};

struct AttentionPlanOptions {
  Numerics mode = Numerics::kFast;
  int32_t num_multiprocessors = 0;
  int64_t max_partials = 0;                    // what the workspace holds; 0: nothing is cut
  int32_t large_warps = kAttentionLargeWarps;  // or kAttentionFewerWarps
};

struct AttentionPlan {
  std::vector<AttentionItem> items{};  // small ones first, each kind with the longest first
  int32_t num_small = 0;               // of one warp
  std::vector<AttentionCombination> combinations{};
  int64_t num_partials = 0;

  int32_t num_large() const { return static_cast<int32_t>(items.size()) - num_small; }
};

// sequences[i]'s blocks are row i of the block table.
AttentionPlan PlanAttention(std::span<const SequenceRows> sequences,
                            std::span<const KvHeadGroup> groups,
                            const AttentionPlanOptions& options);

// No plan with these options of at most max_tokens rows of at most max_seqs sequences has more
// items, or more combinations.
int64_t MaxAttentionItems(std::span<const KvHeadGroup> groups, int64_t max_tokens, int64_t max_seqs,
                          const AttentionPlanOptions& options);

}  // namespace phalanx::cuda
