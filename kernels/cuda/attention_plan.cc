#include "kernels/cuda/attention_plan.h"

#include <algorithm>

namespace phalanx::cuda {
namespace {

// Blocks of a multiprocessor that the parts should be enough for.
constexpr int64_t kBlocksPerMultiprocessor = 4;
// A part shorter than this costs more to combine than it saves.
constexpr int64_t kMinPartTokens = 256;

constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

int32_t LengthOf(const AttentionItem& item) { return item.kv_end - item.kv_begin; }

void SortByLength(std::vector<AttentionItem>& items) {
  std::stable_sort(items.begin(), items.end(), [](const AttentionItem& a, const AttentionItem& b) {
    return LengthOf(a) > LengthOf(b);
  });
}

int32_t LargeRows(const AttentionPlanOptions& options) {
  return options.large_warps * kAttentionWarpRows;
}

// Each tile over all of its keys.
std::vector<AttentionItem> Tiles(std::span<const SequenceRows> sequences,
                                 std::span<const KvHeadGroup> groups, int32_t large_rows) {
  std::vector<AttentionItem> tiles;
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (size_t g = 0; g < groups.size(); ++g) {
      const int32_t num_heads = groups[g].num_heads;
      const int32_t num_pairs = sequences[s].num_rows * num_heads;
      for (int32_t first = 0; first < num_pairs; first += large_rows) {
        const int32_t count = std::min(num_pairs - first, large_rows);
        const int32_t last_token = (first + count - 1) / num_heads;
        tiles.push_back({.sequence = static_cast<int32_t>(s),
                         .kv_head = static_cast<int32_t>(g),
                         .heads = groups[g],
                         .rows = sequences[s],
                         .first_pair = first,
                         .num_pairs = count,
                         .kv_begin = 0,
                         .kv_end = sequences[s].first_position + last_token + 1,
                         .first_partial = kNoPartial});
      }
    }
  }
  return tiles;
}

class Planner {
 public:
  Planner(const AttentionPlanOptions& options, int64_t part_tokens)
      : options_(options), part_tokens_(part_tokens) {}

  void Add(const AttentionItem& tile) {
    if (tile.kv_end <= part_tokens_) return Append(tile);
    // Parts of one length, in whole tiles of keys.
    const int64_t length =
        options_.mode == Numerics::kExact
            ? kExactSplitTokens
            : CeilDiv(CeilDiv(tile.kv_end, CeilDiv(tile.kv_end, part_tokens_)), kAttentionKvTile) *
                  kAttentionKvTile;
    const int64_t num_parts = CeilDiv(tile.kv_end, length);
    const int64_t num_partials = num_parts * tile.num_pairs;
    if (plan_.num_partials + num_partials > options_.max_partials) return Append(tile);
    const auto first_partial = static_cast<int32_t>(plan_.num_partials);
    for (int64_t part = 0; part < num_parts; ++part) {
      AttentionItem item = tile;
      item.kv_begin = static_cast<int32_t>(part * length);
      item.kv_end = static_cast<int32_t>(std::min((part + 1) * length, int64_t{tile.kv_end}));
      item.first_partial = first_partial + static_cast<int32_t>(part) * tile.num_pairs;
      Append(item);
    }
    for (int32_t i = 0; i < tile.num_pairs; ++i) {
      const int32_t pair = tile.first_pair + i;
      plan_.combinations.push_back({.row = tile.rows.first_row + pair / tile.heads.num_heads,
                                    .head = tile.heads.first_head + pair % tile.heads.num_heads,
                                    .first_partial = first_partial + i,
                                    .stride = tile.num_pairs,
                                    .num_parts = static_cast<int32_t>(num_parts)});
    }
    plan_.num_partials += num_partials;
  }

  AttentionPlan Take() {
    SortByLength(plan_.items);
    SortByLength(large_);
    plan_.num_small = static_cast<int32_t>(plan_.items.size());
    plan_.items.insert(plan_.items.end(), large_.begin(), large_.end());
    return std::move(plan_);
  }

 private:
  void Append(const AttentionItem& item) {
    (item.num_pairs <= kAttentionWarpRows ? plan_.items : large_).push_back(item);
  }

  const AttentionPlanOptions& options_;
  int64_t part_tokens_;
  AttentionPlan plan_;  // its items are the small ones
  std::vector<AttentionItem> large_;
};

}  // namespace

Status CheckKvCache(int64_t head_dim, int64_t block_size, DType dtype) {
  if (head_dim != 64 && head_dim != 128) {
    return InvalidArgumentError("head_dim: {}, allowed on a GPU: 64, 128", head_dim)
        .WithField("head_dim");
  }
  if (block_size < 16 || block_size % 16 != 0) {
    return InvalidArgumentError("block_size: {}, allowed on a GPU: multiples of 16", block_size)
        .WithField("block_size");
  }
  if (dtype != DType::kBF16 && dtype != DType::kF16) {
    return InvalidArgumentError("dtype: {}, allowed on a GPU: BF16, F16", Name(dtype))
        .WithField("dtype");
  }
  return OkStatus();
}

std::vector<KvHeadGroup> GroupHeads(std::span<const int32_t> kv_head_of, int64_t num_kv_heads) {
  std::vector<KvHeadGroup> groups(static_cast<size_t>(num_kv_heads));
  for (size_t head = 0; head < kv_head_of.size(); ++head) {
    KvHeadGroup& group = groups[static_cast<size_t>(kv_head_of[head])];
    if (group.num_heads++ == 0) group.first_head = static_cast<int32_t>(head);
  }
  return groups;
}

AttentionPlan PlanAttention(std::span<const SequenceRows> sequences,
                            std::span<const KvHeadGroup> groups,
                            const AttentionPlanOptions& options) {
  PHALANX_CHECK_LE(options.max_partials, int64_t{INT32_MAX});
  std::vector<AttentionItem> tiles = Tiles(sequences, groups, LargeRows(options));
  // Who has most to read is cut first, while there is room for partials.
  SortByLength(tiles);
  int64_t kv_tiles = 0;
  for (const AttentionItem& tile : tiles) kv_tiles += CeilDiv(tile.kv_end, kAttentionKvTile);
  const int64_t slots =
      std::max(int64_t{1}, options.num_multiprocessors * kBlocksPerMultiprocessor);
  Planner planner(options, std::max(kMinPartTokens, CeilDiv(kv_tiles, slots) * kAttentionKvTile));
  for (const AttentionItem& tile : tiles) planner.Add(tile);
  return planner.Take();
}

int64_t MaxAttentionItems(std::span<const KvHeadGroup> groups, int64_t max_tokens, int64_t max_seqs,
                          const AttentionPlanOptions& options) {
  // Each item of a cut tile has a partial of its own, and so has each combination.
  int64_t items = options.max_partials;
  for (const KvHeadGroup& group : groups) {
    items += max_tokens * group.num_heads / LargeRows(options) + max_seqs;
  }
  return items;
}

}  // namespace phalanx::cuda
