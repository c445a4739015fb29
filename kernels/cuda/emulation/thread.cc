#include "kernels/cuda/emulation/thread.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "kernels/cuda/emulation/block.h"

namespace phalanx::cuda::emulation {

int ThreadIndex() { return Block::Current().thread(); }
int BlockThreads() { return Block::Current().shape().threads; }
int BlockX() { return Block::Current().x(); }
int BlockY() { return Block::Current().y(); }
int GridX() { return Block::Current().shape().grid_x; }

void OnRead(const void* p, size_t bytes, size_t alignment) {
  Block::Current().OnAccess(reinterpret_cast<uintptr_t>(p), bytes, alignment, Access::kRead);
}

void OnWrite(const void* p, size_t bytes, size_t alignment) {
  Block::Current().OnAccess(reinterpret_cast<uintptr_t>(p), bytes, alignment, Access::kWrite);
}

void CopyUnseen(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }

void* SharedArray(size_t bytes) { return Block::Current().SharedArray(bytes); }

void SyncThreads() { Block::Current().SyncThreads(); }

void SyncWarp() {
  Block::Current().WarpMeet(
      "the warp's barrier", [](Block& block, void* const(&)[32]) { block.JoinWarp(); }, nullptr);
}

void SyncBarrier(int barrier, int threads) { Block::Current().SyncBarrier(barrier, threads); }

uint32_t AtomicUpdate(uint32_t* p, Update update, uint32_t value, uint32_t other) {
  Block::Current().OnAccess(reinterpret_cast<uintptr_t>(p), sizeof(*p), alignof(uint32_t),
                            Access::kAtomic);
  uint32_t old;
  std::memcpy(&old, p, sizeof(old));
  const uint32_t updated = update(old, value, other);
  std::memcpy(p, &updated, sizeof(updated));
  return old;
}

// ------------------------------------------------------------------------------------------------

namespace {

struct ShuffleLane {
  uint32_t bits;
  int source;
  uint32_t result;
};

void ShuffleWarp(Block& block, void* const (&lanes)[32]) {
  for (void* const lane : lanes) {
    auto& mine = *static_cast<ShuffleLane*>(lane);
    if (mine.source < 0 || mine.source >= 32) {
      block.Fault(block.thread(), fmt::format("shuffles from lane {}", mine.source));
    }
    mine.result = static_cast<const ShuffleLane*>(lanes[mine.source])->bits;
  }
}

struct BallotLane {
  bool vote;
  uint32_t result;
};

void BallotWarp(Block& /*block*/, void* const (&lanes)[32]) {
  uint32_t votes = 0;
  for (int i = 0; i < 32; ++i) {
    votes |= static_cast<uint32_t>(static_cast<const BallotLane*>(lanes[i])->vote) << i;
  }
  for (void* const lane : lanes) static_cast<BallotLane*>(lane)->result = votes;
}

struct MaxLane {
  uint32_t value;
  uint32_t result;
};

void MaxOfWarp(Block& /*block*/, void* const (&lanes)[32]) {
  uint32_t max = 0;
  for (void* const lane : lanes) max = std::max(max, static_cast<const MaxLane*>(lane)->value);
  for (void* const lane : lanes) static_cast<MaxLane*>(lane)->result = max;
}

}  // namespace

uint32_t ShuffleBits(uint32_t bits, int source_lane) {
  ShuffleLane lane{bits, source_lane, 0};
  Block::Current().WarpMeet("a shuffle", ShuffleWarp, &lane);
  return lane.result;
}

uint32_t Ballot(bool vote) {
  BallotLane lane{vote, 0};
  Block::Current().WarpMeet("a vote", BallotWarp, &lane);
  return lane.result;
}

uint32_t WarpMax(uint32_t value) {
  MaxLane lane{value, 0};
  Block::Current().WarpMeet("a maximum", MaxOfWarp, &lane);
  return lane.result;
}

// ------------------------------------------------------------------------------------------------

void CopyAsync16(void* shared, const void* global, int valid_bytes) {
  Block::Current().StartCopy(
      {.shared = shared, .global = global, .valid_bytes = valid_bytes, .group = 0});
}

void CopyAsyncCommit() { Block::Current().CommitCopies(); }

void CopyAsyncWait(int pending) { Block::Current().FinishCopies(pending); }

}  // namespace phalanx::cuda::emulation
