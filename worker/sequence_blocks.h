// Between a sequence and the block manager: growing its block table, finding its prefix in the
// cache, publishing what it has computed.
#pragma once

#include <cstdint>
#include <vector>

#include "worker/block_manager.h"
#include "worker/scheduler.h"
#include "worker/sequence.h"

namespace phalanx {

// Leading blocks of a sequence that the prefix cache holds. Valid until blocks are next allocated.
struct PrefixMatch {
  std::vector<int32_t> blocks;
  ContentId last_content = kRootContent;
  int64_t num_referenced = 0;  // how many of `blocks` are in use, so that taking them costs nothing
};

class SequenceBlocks {
 public:
  SequenceBlocks(const PlanLimits& limits, PrefixCaching caching)
      : manager_(limits.num_blocks, limits.block_size),
        block_size_(limits.block_size),
        caching_(caching) {}

  const BlockManager& manager() const { return manager_; }
  // Blocks that the KV of `num_tokens` tokens takes.
  int64_t NumBlocks(int64_t num_tokens) const {
    return (num_tokens + block_size_ - 1) / block_size_;
  }
  // Blocks for all that is known and some room to go on, never more than the sequence can use.
  int64_t NumBlocksWanted(const Sequence& sequence) const;
  // Blocks of its table that others hold, too.
  int64_t NumShared(const Sequence& sequence) const;

  // At most all tokens but the last known one, whose logits are needed; none where the prompt's
  // logits are.
  PrefixMatch FindPrefix(Sequence& sequence) const;
  void TakePrefix(Sequence& sequence, const PrefixMatch& match);
  // Allocates what can be had towards `num_new_tokens` more; how many of them have room.
  int32_t Grow(Sequence& sequence, int32_t num_new_tokens);
  // Publishes full blocks of computed tokens. Blocks of the table may change for equal ones.
  void PublishComputed(Sequence& sequence);
  // The sequence holds no blocks afterwards and has computed nothing.
  void Release(Sequence& sequence);

 private:
  BlockKey KeyOf(Sequence& sequence, size_t index, ContentId parent) const;

  BlockManager manager_;
  int32_t block_size_;
  PrefixCaching caching_;
};

}  // namespace phalanx
