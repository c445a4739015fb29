// Owns the KV blocks of a rank group's pool: reference counts, the prefix cache, eviction. Pure
// bookkeeping on rank 0; no memory of the pool is touched.
//
// A block is free (in no table, nothing worth keeping), in use (reference count > 0), or evictable
// (published, in no table). Allocate() takes free blocks first, then the evictable one that was
// released longest ago.
//
// Prefix cache. A full block of committed tokens is published under (content id of its parent,
// tokens), the first block of a sequence under (root, tokens, salt). Every published block gets a
// content id that is never used again, so two blocks with equal keys hold equal KV, exactly, and
// the hash is only an index. Publishing what another block already holds gives the caller that
// block, so a sequence that owns a published block owns all its ancestors. As sequences release
// their last block first, descendants are always evicted before their ancestors.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace phalanx {

using ContentId = uint64_t;
inline constexpr ContentId kNoContent = 0;    // not published
inline constexpr ContentId kRootContent = 1;  // the parent of a sequence's first block
inline constexpr int32_t kNoBlock = -1;

// Identifies the content of a full block.
struct BlockKey {
  ContentId parent = kRootContent;
  uint64_t hash = 0;                // see block_hash.h
  std::span<const int32_t> tokens;  // [block_size]
  std::string_view salt;            // matters where parent is kRootContent
};

struct CachedBlock {
  int32_t block = kNoBlock;
  ContentId content = kNoContent;
};

class BlockManager {
 public:
  // num_blocks and block_size > 0.
  BlockManager(int64_t num_blocks, int32_t block_size);

  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t num_available() const { return num_free() + num_evictable_; }
  int64_t num_free() const { return static_cast<int64_t>(free_.size()); }
  int64_t num_evictable() const { return num_evictable_; }
  int32_t num_references(int32_t block) const { return At(block).num_references; }

  // A block with one reference; kNoBlock where none is available.
  int32_t Allocate();
  // Adds a reference to a published block.
  void Acquire(int32_t block);
  // Takes one reference from every block of a sequence's table, the last block first.
  void Release(std::span<const int32_t> table);

  // The published block with this content, or kNoBlock.
  CachedBlock Find(const BlockKey& key) const;
  // Publishes `block`, which has one reference and holds `key`'s content. The block to use from now
  // on: `block`, or one that already holds the content, then acquired, and `block` is free.
  // `content` is kNoContent where another content has the same hash: `block` then stays private.
  CachedBlock Publish(int32_t block, const BlockKey& key);

 private:
  friend class SchedulerPeer;  // of the tests, which look at the invariants inside
  struct Block {
    int32_t num_references = 0;
    int32_t older = kNoBlock;  // neighbours in the eviction list
    int32_t newer = kNoBlock;
    ContentId content = kNoContent;
    ContentId parent = kNoContent;
    uint64_t hash = 0;
  };

  Block& At(int32_t block) { return blocks_[static_cast<size_t>(block)]; }
  const Block& At(int32_t block) const { return blocks_[static_cast<size_t>(block)]; }
  std::span<int32_t> TokensOf(int32_t block);
  std::span<const int32_t> TokensOf(int32_t block) const;
  std::string_view SaltOf(int32_t block) const;
  bool Holds(int32_t block, const BlockKey& key) const;
  void ReleaseOne(int32_t block);
  void AppendEvictable(int32_t block);
  void RemoveEvictable(int32_t block);
  void Unpublish(int32_t block);

  int32_t block_size_;
  std::vector<Block> blocks_;                       // [num_blocks]
  std::vector<int32_t> tokens_;                     // [num_blocks, block_size], of published ones
  std::unordered_map<int32_t, std::string> salts_;  // of first blocks with a salt
  std::unordered_map<uint64_t, int32_t> block_of_hash_;
  std::vector<int32_t> free_;
  int32_t oldest_evictable_ = kNoBlock;
  int32_t newest_evictable_ = kNoBlock;
  int64_t num_evictable_ = 0;
  ContentId next_content_ = kRootContent + 1;
};

}  // namespace phalanx
