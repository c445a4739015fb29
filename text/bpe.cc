#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>

#include "kernels/base/check.h"
#include "text/bpe_scratch.h"

namespace phalanx {
namespace {

constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();
constexpr size_t kShortPieceBytes = 48;  // up to here scanning an array beats a queue

uint64_t Mix(uint64_t a, uint64_t b) {
  // Multiply and fold: the high half of the product depends on every bit of both factors.
  const auto product =
      static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD1B54A32D192ED03u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <typename T>
uint64_t LoadAs(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

constexpr size_t kExactKeyBytes = 16;

PieceKey KeyOf(std::string_view s) {
  const char* p = s.data();
  const size_t n = s.size();
  if (n >= 8) {
    if (n <= kExactKeyBytes) return {LoadAs<uint64_t>(p), LoadAs<uint64_t>(p + n - 8)};
    PieceKey key{n, ~n};
    for (size_t i = 0; i + 16 <= n; i += 16) {
      key.low = Mix(key.low ^ LoadAs<uint64_t>(p + i), key.high + LoadAs<uint64_t>(p + i + 8));
      key.high = std::rotl(key.high, 23) ^ key.low;
    }
    key.low = Mix(key.low ^ LoadAs<uint64_t>(p + n - 16), key.high ^ LoadAs<uint64_t>(p + n - 8));
    return key;
  }
  if (n >= 4) return {LoadAs<uint32_t>(p), LoadAs<uint32_t>(p + n - 4)};
  if (n >= 2) return {LoadAs<uint16_t>(p), LoadAs<uint16_t>(p + n - 2)};
  return {n == 1 ? LoadAs<uint8_t>(p) : 0, 0};
}

uint64_t HashOf(const PieceKey& key, size_t length) { return Mix(key.low + length, key.high); }

}  // namespace

// (left, right) -> (rank, result); open addressing, at most half full.
class BpeModel::PairTable {
 public:
  struct Entry {
    uint64_t pair = kEmpty;
    uint32_t rank = kNoRank;
    int32_t result = 0;
  };

  explicit PairTable(const std::vector<BpeMerge>& merges)
      : entries_(std::bit_ceil(2 * merges.size() + 1)), mask_(entries_.size() - 1) {
    for (size_t i = 0; i < merges.size(); ++i) {
      const uint64_t pair = Pack(merges[i].left, merges[i].right);
      Entry& entry = entries_[Slot(pair)];
      entry = {pair, static_cast<uint32_t>(i), merges[i].result};
    }
  }

  // rank kNoRank: this pair is not merged.
  const Entry& Find(int32_t left, int32_t right) const { return entries_[Slot(Pack(left, right))]; }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};

  static uint64_t Pack(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }

  size_t Slot(uint64_t pair) const {
    size_t slot = (pair * 0x9E3779B97F4A7C15u ^ pair >> 29) * 0xBF58476D1CE4E5B9u >> 32 & mask_;
    while (entries_[slot].pair != pair && entries_[slot].pair != kEmpty) slot = (slot + 1) & mask_;
    return slot;
  }

  std::vector<Entry> entries_;
  size_t mask_;
};

// Pieces that encode to one token; open addressing, at most half full.
class BpeModel::WordTable {
 public:
  explicit WordTable(size_t capacity)
      : entries_(std::bit_ceil(2 * capacity + 1)), mask_(entries_.size() - 1) {}

  void Insert(std::string_view word, int32_t id) {
    const PieceKey key = KeyOf(word);
    size_t slot = HashOf(key, word.size()) & mask_;
    while (entries_[slot].word != nullptr) slot = (slot + 1) & mask_;
    entries_[slot] = {key, word.data(), static_cast<uint32_t>(word.size()), id};
  }

  // -1: none.
  int32_t Find(std::string_view piece, const PieceKey& key, uint64_t hash) const {
    for (size_t slot = hash & mask_;; slot = (slot + 1) & mask_) {
      const Entry& entry = entries_[slot];
      if (entry.word == nullptr) return -1;
      if (entry.key == key && entry.length == piece.size() &&
          (piece.size() <= kExactKeyBytes ||
           std::memcmp(entry.word, piece.data(), piece.size()) == 0)) {
        return entry.id;
      }
    }
  }

 private:
  struct Entry {
    PieceKey key;
    const char* word = nullptr;
    uint32_t length = 0;
    int32_t id = -1;
  };

  std::vector<Entry> entries_;
  size_t mask_;
};

BpeModel::BpeModel(const BpeConfig& config)
    : byte_ids_(config.byte_ids),
      pairs_(std::make_unique<PairTable>(config.merges)),
      words_(std::make_unique<WordTable>(config.tokens.size())) {
  std::vector<int32_t> ids;
  for (const auto& [bytes, id] : config.tokens) {
    if (bytes.empty()) continue;
    if (config.whole_pieces == WholePieces::kByMerges) {
      // Long tokens may be expensive to check and rarely are whole pieces.
      if (bytes.size() > kShortPieceBytes) continue;
      ids.clear();
      MergeShort(bytes, &ids);
      if (ids.size() != 1 || ids[0] != id) continue;
    }
    words_->Insert(bytes, id);
  }
}

BpeModel::~BpeModel() = default;

void BpeModel::Encode(std::string_view piece, BpeScratch* scratch,
                      std::vector<int32_t>* ids) const {
  const PieceKey key = KeyOf(piece);
  const uint64_t hash = HashOf(key, piece.size());
  if (const int32_t id = words_->Find(piece, key, hash); id >= 0) {
    ids->push_back(id);
    return;
  }
  if (piece.size() > kExactKeyBytes) {
    if (piece.size() <= kShortPieceBytes) {
      MergeShort(piece, ids);
    } else {
      MergeLong(piece, scratch, ids);
    }
    return;
  }
  BpeScratch::CacheEntry& cached = scratch->Slot(hash);
  if (cached.key == key && cached.length == piece.size()) {
    ids->insert(ids->end(), cached.ids.begin(), cached.ids.begin() + cached.count);
    return;
  }
  const size_t before = ids->size();
  MergeShort(piece, ids);
  const size_t count = ids->size() - before;
  if (count <= cached.ids.size()) {
    cached.key = key;
    cached.length = static_cast<uint32_t>(piece.size());
    cached.count = static_cast<uint32_t>(count);
    std::copy(ids->begin() + static_cast<std::ptrdiff_t>(before), ids->end(), cached.ids.begin());
  }
}

void BpeModel::MergeShort(std::string_view piece, std::vector<int32_t>* ids) const {
  PHALANX_DCHECK(piece.size() <= kShortPieceBytes);
  std::array<int32_t, kShortPieceBytes> symbols;
  std::array<uint32_t, kShortPieceBytes> ranks;   // of (symbols[i], symbols[i + 1])
  std::array<int32_t, kShortPieceBytes> results;  // of the same
  size_t n = 0;
  for (const char c : piece) {
    if (const int32_t id = byte_ids_[static_cast<unsigned char>(c)]; id >= 0) symbols[n++] = id;
  }
  const auto look_up = [&](size_t i) {
    const PairTable::Entry& entry = pairs_->Find(symbols[i], symbols[i + 1]);
    ranks[i] = entry.rank;
    results[i] = entry.result;
  };
  for (size_t i = 0; i + 1 < n; ++i) look_up(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNoRank) break;
    symbols[best] = results[best];
    --n;
    for (size_t i = best + 1; i < n; ++i) {
      symbols[i] = symbols[i + 1];
      ranks[i] = ranks[i + 1];
      results[i] = results[i + 1];
    }
    if (best > 0) look_up(best - 1);
    if (best + 1 < n) look_up(best);
  }
  ids->insert(ids->end(), symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(n));
}

void BpeModel::MergeLong(std::string_view piece, BpeScratch* scratch,
                         std::vector<int32_t>* ids) const {
  // Positions have 32 bits; a piece this long would need a text of 4 GiB, which Tokenizer refuses.
  PHALANX_CHECK(piece.size() < kNoRank);
  std::vector<BpeScratch::Symbol>& symbols = scratch->symbols;
  std::vector<uint64_t>& queue = scratch->queue;
  symbols.clear();
  queue.clear();
  for (const char c : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(c)];
    if (id < 0) continue;
    const auto i = static_cast<uint32_t>(symbols.size());
    symbols.push_back({id, i - 1, i + 1});
  }
  const auto n = static_cast<uint32_t>(symbols.size());
  for (uint32_t i = 0; i + 1 < n; ++i) {
    const PairTable::Entry& entry = pairs_->Find(symbols[i].id, symbols[i + 1].id);
    if (entry.rank != kNoRank) queue.push_back(uint64_t{entry.rank} << 32 | i);
  }
  std::make_heap(queue.begin(), queue.end(), std::greater<>());
  const auto push = [&](uint32_t i) {
    const PairTable::Entry& entry = pairs_->Find(symbols[i].id, symbols[symbols[i].next].id);
    if (entry.rank == kNoRank) return;
    queue.push_back(uint64_t{entry.rank} << 32 | i);
    std::push_heap(queue.begin(), queue.end(), std::greater<>());
  };
  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    const uint64_t top = queue.back();
    queue.pop_back();
    const auto i = static_cast<uint32_t>(top);
    BpeScratch::Symbol& left = symbols[i];
    if (left.id < 0 || left.next >= n) continue;
    BpeScratch::Symbol& right = symbols[left.next];
    // An entry is stale where one of its two symbols has been merged since: then the pair has
    // another rank.
    const PairTable::Entry& entry = pairs_->Find(left.id, right.id);
    if (entry.rank != top >> 32) continue;
    left.id = entry.result;
    right.id = -1;
    left.next = right.next;
    if (left.next < n) {
      symbols[left.next].previous = i;
      push(i);
    }
    if (left.previous < n) push(left.previous);
  }
  for (uint32_t i = 0; i < n; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace phalanx
