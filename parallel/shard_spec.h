// Which slice of every tensor a rank holds. Pure arithmetic, no I/O; any number of ranks from 1 up
// works.
//
// Query heads are split into contiguous ranges whose sizes differ by at most one (the first ranks
// hold the larger ones). A rank holds the KV heads that its query heads read, so a KV head is
// replicated at range edges or where ranks outnumber KV heads. The FFN and the vocabulary are split
// in units of 64, likewise contiguous and even in units; the last unit may be shorter. A rank may
// hold no head, no FFN unit or no vocabulary row. Source: the split of Megatron-LM (Shoeybi et al.
// 2019), made uneven.
#pragma once

#include <cstdint>
#include <vector>

namespace phalanx {

inline constexpr int64_t kShardUnit = 64;

// Half open.
struct Range {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

struct ShardDims {
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  // divides num_heads
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
};

struct ShardSpec {
  int rank = 0;
  int size = 1;
  Range heads;
  Range kv_heads;  // empty where heads is empty
  Range intermediate;
  Range vocab;
  std::vector<int32_t> kv_head_of;  // [heads.size()] local KV head that each local query head reads
};

// The `rank`-th of `size` contiguous parts of [0, count), in units of `unit`; sizes differ by at
// most one unit.
Range SplitRange(int64_t count, int64_t unit, int rank, int size);

// PHALANX_CHECKs 0 <= rank < size and that the dims are positive and divide.
ShardSpec MakeShardSpec(const ShardDims& dims, int rank, int size);

}  // namespace phalanx
