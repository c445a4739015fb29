// What lies in the memory that the ranks of a SharedMemoryCommunicator share:
//
//   SharedHeader | RankBoard x size | slots of rank 0 | slots of rank 1 | ...
//
// A rank has kNumSlots slots of `slot_bytes`; only it writes them. All-zero bytes are a valid,
// fresh region.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace phalanx {

inline constexpr size_t kCacheLineBytes = 64;
inline constexpr int kNumSlots = 3;
inline constexpr size_t kMaxReasonBytes = 1000;

// Bit 0 of RankBoard::phase; the other bits count phases.
inline constexpr uint32_t kPoisonBit = 1;
inline constexpr uint32_t kPhaseStep = 2;

// Why the group was aborted; the first one stays.
struct alignas(kCacheLineBytes) SharedHeader {
  enum ReasonState : uint32_t { kNone = 0, kWriting = 1, kWritten = 2 };
  std::atomic<uint32_t> reason_state;
  int32_t reason_rank;
  int32_t reason_code;
  uint32_t reason_size_bytes;
  char reason[kMaxReasonBytes];
};

// What a rank tells its peers. Two cache lines, because processors fetch lines in pairs.
struct alignas(2 * kCacheLineBytes) RankBoard {
  std::atomic<uint32_t> phase;     // written by the rank, and the poison bit by anybody
  std::atomic<uint32_t> sleepers;  // peers that sleep on `phase`
  uint64_t tag[kNumSlots];         // what the rank does in a phase, to notice ranks out of step
};

struct SharedLayout {
  int size = 1;
  size_t slot_bytes = 0;  // a multiple of 64

  size_t boards_offset() const { return sizeof(SharedHeader); }
  size_t slots_offset() const {
    // The boards are aligned to two lines; the header is a whole number of pairs.
    return boards_offset() + static_cast<size_t>(size) * sizeof(RankBoard);
  }
  size_t slot_offset(int rank, int slot) const {
    return slots_offset() +
           (static_cast<size_t>(rank) * kNumSlots + static_cast<size_t>(slot)) * slot_bytes;
  }
  size_t total_bytes() const { return slot_offset(size, 0); }
};

static_assert(sizeof(SharedHeader) % (2 * kCacheLineBytes) == 0);

}  // namespace phalanx
