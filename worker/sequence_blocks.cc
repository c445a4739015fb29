#include "worker/sequence_blocks.h"

#include <algorithm>

#include "worker/block_hash.h"

namespace phalanx {

int64_t SequenceBlocks::NumBlocksWanted(const Sequence& sequence) const {
  // The last token of the output is never an input.
  const int64_t most_tokens = int64_t{sequence.num_prompt} + sequence.params.max_tokens - 1;
  return std::min(NumBlocks(sequence.num_tokens()) + 1, NumBlocks(most_tokens));
}

int64_t SequenceBlocks::NumShared(const Sequence& sequence) const {
  return std::ranges::count_if(
      sequence.block_table, [this](int32_t block) { return manager_.num_references(block) > 1; });
}

PrefixMatch SequenceBlocks::FindPrefix(Sequence& sequence) const {
  PrefixMatch match;
  if (caching_ == PrefixCaching::kOff || sequence.needs_prompt_logits()) return match;
  const size_t most_blocks = static_cast<size_t>((sequence.num_tokens() - 1) / block_size_);
  while (match.blocks.size() < most_blocks) {
    const CachedBlock found =
        manager_.Find(KeyOf(sequence, match.blocks.size(), match.last_content));
    if (found.block == kNoBlock) break;
    match.blocks.push_back(found.block);
    match.last_content = found.content;
    if (manager_.num_references(found.block) > 0) ++match.num_referenced;
  }
  return match;
}

void SequenceBlocks::TakePrefix(Sequence& sequence, const PrefixMatch& match) {
  PHALANX_CHECK(sequence.block_table.empty());
  for (int32_t block : match.blocks) manager_.Acquire(block);
  sequence.block_table = match.blocks;
  sequence.num_shared_blocks = static_cast<int32_t>(match.blocks.size());
  sequence.num_computed = sequence.num_shared_blocks * block_size_;
  sequence.last_content = match.last_content;
}

int32_t SequenceBlocks::Grow(Sequence& sequence, int32_t num_new_tokens) {
  std::vector<int32_t>& table = sequence.block_table;
  const size_t needed =
      static_cast<size_t>(NumBlocks(int64_t{sequence.num_computed} + num_new_tokens));
  while (table.size() < needed) {
    const int32_t block = manager_.Allocate();
    if (block == kNoBlock) break;
    table.push_back(block);
  }
  const int64_t room = static_cast<int64_t>(table.size()) * block_size_ - sequence.num_computed;
  return static_cast<int32_t>(std::min<int64_t>(num_new_tokens, room));
}

void SequenceBlocks::PublishComputed(Sequence& sequence) {
  if (caching_ == PrefixCaching::kOff) return;
  while (sequence.last_content != kNoContent &&
         sequence.num_shared_blocks < sequence.num_computed / block_size_) {
    const size_t index = static_cast<size_t>(sequence.num_shared_blocks);
    const CachedBlock published = manager_.Publish(sequence.block_table[index],
                                                   KeyOf(sequence, index, sequence.last_content));
    sequence.block_table[index] = published.block;
    sequence.last_content = published.content;
    if (published.content != kNoContent) ++sequence.num_shared_blocks;
  }
}

void SequenceBlocks::Release(Sequence& sequence) {
  manager_.Release(sequence.block_table);
  sequence.block_table.clear();
  sequence.num_computed = 0;
  sequence.num_shared_blocks = 0;
  sequence.last_content = kRootContent;
}

BlockKey SequenceBlocks::KeyOf(Sequence& sequence, size_t index, ContentId parent) const {
  const size_t size = static_cast<size_t>(block_size_);
  const std::span<const int32_t> tokens = sequence.tokens;
  std::vector<uint64_t>& hashes = sequence.block_hashes;
  while (hashes.size() <= index) {
    const uint64_t parent_hash = hashes.empty() ? HashSalt(sequence.cache_salt) : hashes.back();
    hashes.push_back(HashBlock(parent_hash, tokens.subspan(hashes.size() * size, size)));
  }
  return {parent, hashes[index], tokens.subspan(index * size, size), sequence.cache_salt};
}

}  // namespace phalanx
