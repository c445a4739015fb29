#include "worker/block_manager.h"

#include <algorithm>
#include <limits>

#include "kernels/base/check.h"

namespace phalanx {

BlockManager::BlockManager(int64_t num_blocks, int32_t block_size) : block_size_(block_size) {
  PHALANX_CHECK_GT(num_blocks, 0);
  PHALANX_CHECK_LE(num_blocks, std::numeric_limits<int32_t>::max());
  PHALANX_CHECK_GT(block_size, 0);
  const size_t count = static_cast<size_t>(num_blocks);
  blocks_.resize(count);
  tokens_.resize(count * static_cast<size_t>(block_size));
  block_of_hash_.reserve(count);
  free_.reserve(count);
  for (int32_t block = static_cast<int32_t>(num_blocks) - 1; block >= 0; --block) {
    free_.push_back(block);
  }
}

int32_t BlockManager::Allocate() {
  int32_t block = kNoBlock;
  if (!free_.empty()) {
    block = free_.back();
    free_.pop_back();
  } else if (num_evictable_ > 0) {
    block = oldest_evictable_;
    RemoveEvictable(block);
    Unpublish(block);
  } else {
    return kNoBlock;
  }
  At(block).num_references = 1;
  return block;
}

void BlockManager::Acquire(int32_t block) {
  PHALANX_CHECK_NE(At(block).content, kNoContent);
  if (At(block).num_references++ == 0) RemoveEvictable(block);
}

void BlockManager::Release(std::span<const int32_t> table) {
  for (size_t i = table.size(); i-- > 0;) ReleaseOne(table[i]);
}

CachedBlock BlockManager::Find(const BlockKey& key) const {
  const auto it = block_of_hash_.find(key.hash);
  if (it == block_of_hash_.end() || !Holds(it->second, key)) return {};
  return {it->second, At(it->second).content};
}

CachedBlock BlockManager::Publish(int32_t block, const BlockKey& key) {
  PHALANX_CHECK_EQ(At(block).num_references, 1);
  PHALANX_CHECK_EQ(At(block).content, kNoContent);
  PHALANX_CHECK_EQ(key.tokens.size(), static_cast<size_t>(block_size_));
  const auto [it, is_new] = block_of_hash_.try_emplace(key.hash, block);
  if (!is_new) {
    const int32_t other = it->second;
    if (!Holds(other, key)) return {block, kNoContent};
    Acquire(other);
    ReleaseOne(block);
    return {other, At(other).content};
  }
  Block& published = At(block);
  published.content = next_content_++;
  published.parent = key.parent;
  published.hash = key.hash;
  std::ranges::copy(key.tokens, TokensOf(block).begin());
  if (key.parent == kRootContent && !key.salt.empty()) salts_.emplace(block, key.salt);
  return {block, published.content};
}

std::span<int32_t> BlockManager::TokensOf(int32_t block) {
  const size_t size = static_cast<size_t>(block_size_);
  return std::span(tokens_).subspan(static_cast<size_t>(block) * size, size);
}

std::span<const int32_t> BlockManager::TokensOf(int32_t block) const {
  const size_t size = static_cast<size_t>(block_size_);
  return std::span(tokens_).subspan(static_cast<size_t>(block) * size, size);
}

std::string_view BlockManager::SaltOf(int32_t block) const {
  const auto it = salts_.find(block);
  return it == salts_.end() ? std::string_view() : std::string_view(it->second);
}

bool BlockManager::Holds(int32_t block, const BlockKey& key) const {
  return At(block).parent == key.parent && std::ranges::equal(TokensOf(block), key.tokens) &&
         (key.parent != kRootContent || SaltOf(block) == key.salt);
}

void BlockManager::ReleaseOne(int32_t block) {
  Block& released = At(block);
  PHALANX_CHECK_GT(released.num_references, 0);
  if (--released.num_references > 0) return;
  if (released.content == kNoContent) {
    free_.push_back(block);
  } else {
    AppendEvictable(block);
  }
}

void BlockManager::AppendEvictable(int32_t block) {
  At(block).older = newest_evictable_;
  At(block).newer = kNoBlock;
  (newest_evictable_ == kNoBlock ? oldest_evictable_ : At(newest_evictable_).newer) = block;
  newest_evictable_ = block;
  ++num_evictable_;
}

void BlockManager::RemoveEvictable(int32_t block) {
  const Block& removed = At(block);
  (removed.older == kNoBlock ? oldest_evictable_ : At(removed.older).newer) = removed.newer;
  (removed.newer == kNoBlock ? newest_evictable_ : At(removed.newer).older) = removed.older;
  --num_evictable_;
}

void BlockManager::Unpublish(int32_t block) {
  Block& evicted = At(block);
  block_of_hash_.erase(evicted.hash);
  if (evicted.parent == kRootContent) salts_.erase(block);
  evicted.content = kNoContent;
  evicted.parent = kNoContent;
}

}  // namespace phalanx
