// What BpeModel::Encode works in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace phalanx {

// Identifies a string of at most 16 bytes: two overlapping loads and the length. Of a longer one it
// is a hash.
struct PieceKey {
  uint64_t low = 0;
  uint64_t high = 0;

  bool operator==(const PieceKey&) const = default;
};

// Memory for long pieces and a cache of short ones. Belongs to one call at a time.
class BpeScratch {
 public:
  // A direct-mapped cache of pieces that encode to a few tokens: a slot keeps what was last seen
  // there.
  struct CacheEntry {
    PieceKey key;
    uint32_t length = 0;
    uint32_t count = 0;
    std::array<int32_t, 6> ids;
  };
  static constexpr size_t kCacheEntries = 8192;

  // A symbol of a long piece: a node of a doubly linked list in an array.
  struct Symbol {
    int32_t id;  // -1: merged into its left neighbour
    uint32_t previous;
    uint32_t next;
  };

  CacheEntry& Slot(uint64_t hash) { return cache_[hash >> 32 & (kCacheEntries - 1)]; }

  std::vector<Symbol> symbols;
  std::vector<uint64_t> queue;  // rank << 32 | position, a heap with the smallest on top

 private:
  std::vector<CacheEntry> cache_{kCacheEntries};
};

}  // namespace phalanx
