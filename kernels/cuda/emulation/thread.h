// What an emulated thread of a kernel calls (kernels/cuda/primitives.h): the bodies of the
// primitives on the CPU. All of these act for the thread that runs now; called outside a launch
// they abort.
//
// A misuse that a GPU would answer with a wrong result, a hang or an error ends the launch with a
// fault that names the kernel, the block, the thread and what it did
// (kernels/cuda/emulation/executor.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace phalanx::cuda::emulation {

int ThreadIndex();
int BlockThreads();
int BlockX();
int BlockY();
int GridX();

// An access of `bytes` at `p`, as the kernels' compiler reports every plain one.
void OnRead(const void* p, size_t bytes, size_t alignment);
void OnWrite(const void* p, size_t bytes, size_t alignment);

// Copies that are not reported, for callers that have reported the access.
void CopyUnseen(void* to, const void* from, size_t bytes);
template <typename V>
V PlainCopy(const void* p) {
  V value;
  CopyUnseen(&value, p, sizeof(V));
  return value;
}
template <typename V>
void PlainStore(void* p, const V& value) {
  CopyUnseen(p, &value, sizeof(V));
}

// The next array of the block's shared memory; bytes is a multiple of 16.
void* SharedArray(size_t bytes);

void SyncThreads();
void SyncWarp();
void SyncBarrier(int barrier, int threads);
// Replaces *p by update(*p, value, other); what was there before.
using Update = uint32_t (*)(uint32_t old, uint32_t value, uint32_t other);
uint32_t AtomicUpdate(uint32_t* p, Update update, uint32_t value, uint32_t other);
uint32_t ShuffleBits(uint32_t bits, int source_lane);
uint32_t Ballot(bool vote);
uint32_t WarpMax(uint32_t value);
template <typename T>
T Shuffle(T value, int source_lane) {
  static_assert(sizeof(T) == sizeof(uint32_t));
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits = ShuffleBits(bits, source_lane);
  std::memcpy(&value, &bits, sizeof(bits));
  return value;
}

void CopyAsync16(void* shared, const void* global, int valid_bytes);
void CopyAsyncCommit();
void CopyAsyncWait(int pending);

void LoadMatrices(uint32_t (&r)[4], const void* row);
void LoadMatricesTransposed(uint32_t (&r)[4], const void* row);
using Widen = float (*)(uint16_t bits);
void MultiplyTile(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Widen widen);

}  // namespace phalanx::cuda::emulation
