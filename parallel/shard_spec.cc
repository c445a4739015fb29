#include "parallel/shard_spec.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace phalanx {

Range SplitRange(int64_t count, int64_t unit, int rank, int size) {
  PHALANX_CHECK_GE(count, 0);
  PHALANX_CHECK_GT(unit, 0);
  PHALANX_CHECK_GE(rank, 0);
  PHALANX_CHECK_LT(rank, size);
  const int64_t num_units = (count + unit - 1) / unit;
  const int64_t base = num_units / size;
  const int64_t larger = num_units % size;  // the first ranks hold one unit more
  const int64_t begin = rank * base + std::min<int64_t>(rank, larger);
  const int64_t end = begin + base + (rank < larger ? 1 : 0);
  // The last unit may be short, so the ends are cut to `count`.
  return {std::min(begin * unit, count), std::min(end * unit, count)};
}

ShardSpec MakeShardSpec(const ShardDims& dims, int rank, int size) {
  PHALANX_CHECK_GT(dims.num_heads, 0);
  PHALANX_CHECK_GT(dims.num_kv_heads, 0);
  PHALANX_CHECK_EQ(dims.num_heads % dims.num_kv_heads, 0);
  PHALANX_CHECK_GT(dims.intermediate_size, 0);
  PHALANX_CHECK_GT(dims.vocab_size, 0);

  ShardSpec spec;
  spec.rank = rank;
  spec.size = size;
  spec.heads = SplitRange(dims.num_heads, 1, rank, size);
  spec.intermediate = SplitRange(dims.intermediate_size, kShardUnit, rank, size);
  spec.vocab = SplitRange(dims.vocab_size, kShardUnit, rank, size);
  if (spec.heads.size() == 0) return spec;

  const int64_t group = dims.num_heads / dims.num_kv_heads;  // query heads that share a KV head
  spec.kv_heads = {spec.heads.begin / group, (spec.heads.end - 1) / group + 1};
  for (int64_t head = spec.heads.begin; head < spec.heads.end; ++head) {
    spec.kv_head_of.push_back(static_cast<int32_t>(head / group - spec.kv_heads.begin));
  }
  return spec;
}

}  // namespace phalanx
