// What a kernel may say to the machine it runs on, and the only place where the two machines
// differ: a GPU (nvcc), and a grid that the CPU executes (kernels/cuda/emulation), so that every
// kernel runs in tests on machines without a GPU.
//
// A kernel is a function template `PHALANX_KERNEL(max_threads) void Name(const Params params)` over
// plain structs of pointers and numbers; a second argument is how many blocks a multiprocessor
// should hold, where registers depend on it. It touches global memory through pointers in its
// parameters, shared memory through SharedMemory, and nothing else. Threads of a block are a
// multiple of 32 and one-dimensional. All warp operations are for the whole warp.
//
// Semantics are those of the CUDA C++ Programming Guide and of the PTX ISA (sections named below).
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define PHALANX_DEVICE __device__ __forceinline__
#define PHALANX_KERNEL(...) __global__ void __launch_bounds__(__VA_ARGS__)
#define PHALANX_UNROLL _Pragma("unroll")
#define PHALANX_NO_UNROLL _Pragma("unroll 1")
#define PHALANX_CUDA_NAMESPACE device
#else
#include <bit>
#include <cmath>

#include "kernels/base/dtype.h"
#include "kernels/cuda/emulation/thread.h"
#define PHALANX_DEVICE inline
#define PHALANX_KERNEL(...) void
#define PHALANX_UNROLL
#define PHALANX_NO_UNROLL
#define PHALANX_CUDA_NAMESPACE emulated
#endif

// A build may hold both machines' kernels; their names differ by this namespace.
namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

inline constexpr int kWarpSize = 32;

// ------------------------------------------------------------------------------------------------
// Where a thread is.

#ifdef __CUDACC__
PHALANX_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
PHALANX_DEVICE int BlockThreads() { return static_cast<int>(blockDim.x); }
PHALANX_DEVICE int BlockX() { return static_cast<int>(blockIdx.x); }
PHALANX_DEVICE int BlockY() { return static_cast<int>(blockIdx.y); }
PHALANX_DEVICE int GridX() { return static_cast<int>(gridDim.x); }
#else
PHALANX_DEVICE int ThreadIndex() { return emulation::ThreadIndex(); }
PHALANX_DEVICE int BlockThreads() { return emulation::BlockThreads(); }
PHALANX_DEVICE int BlockX() { return emulation::BlockX(); }
PHALANX_DEVICE int BlockY() { return emulation::BlockY(); }
PHALANX_DEVICE int GridX() { return emulation::GridX(); }
#endif
PHALANX_DEVICE int LaneIndex() { return ThreadIndex() % kWarpSize; }
PHALANX_DEVICE int WarpIndex() { return ThreadIndex() / kWarpSize; }

// ------------------------------------------------------------------------------------------------
// 16-bit floats. Conversions from float round to nearest, ties to even.

struct BF16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

PHALANX_DEVICE float ToFloat(float value) { return value; }
#ifdef __CUDACC__
PHALANX_DEVICE float ToFloat(BF16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
PHALANX_DEVICE float ToFloat(F16 value) { return __half2float(__ushort_as_half(value.bits)); }
template <typename T>
PHALANX_DEVICE T FromFloat(float value);
template <>
PHALANX_DEVICE float FromFloat<float>(float value) {
  return value;
}
template <>
PHALANX_DEVICE BF16 FromFloat<BF16>(float value) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
}
template <>
PHALANX_DEVICE F16 FromFloat<F16>(float value) {
  return {__half_as_ushort(__float2half_rn(value))};
}
#else
PHALANX_DEVICE float ToFloat(BF16 value) { return BF16ToFloat(value.bits); }
PHALANX_DEVICE float ToFloat(F16 value) { return F16ToFloat(value.bits); }
template <typename T>
T FromFloat(float value);
template <>
inline float FromFloat<float>(float value) {
  return value;
}
template <>
inline BF16 FromFloat<BF16>(float value) {
  return {FloatToBF16(value)};
}
template <>
inline F16 FromFloat<F16>(float value) {
  return {FloatToF16(value)};
}
#endif

// Two values as one word, the first in its lower half.
#ifdef __CUDACC__
template <typename T>
PHALANX_DEVICE uint32_t PackPair(float low, float high);
template <>
PHALANX_DEVICE uint32_t PackPair<BF16>(float low, float high) {
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
template <>
PHALANX_DEVICE uint32_t PackPair<F16>(float low, float high) {
  uint32_t word;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
#else
template <typename T>
uint32_t PackPair(float low, float high) {
  return static_cast<uint32_t>(FromFloat<T>(low).bits) |
         static_cast<uint32_t>(FromFloat<T>(high).bits) << 16;
}
#endif

// The bits of a float, and back.
#ifdef __CUDACC__
PHALANX_DEVICE uint32_t FloatBits(float value) { return __float_as_uint(value); }
PHALANX_DEVICE float BitsFloat(uint32_t bits) { return __uint_as_float(bits); }
#else
PHALANX_DEVICE uint32_t FloatBits(float value) { return std::bit_cast<uint32_t>(value); }
PHALANX_DEVICE float BitsFloat(uint32_t bits) { return std::bit_cast<float>(bits); }
#endif

// How many bits are set; the index of the lowest one that is.
#ifdef __CUDACC__
PHALANX_DEVICE int PopCount(uint32_t bits) { return __popc(bits); }
PHALANX_DEVICE int LowestBit(uint32_t bits) { return __ffs(static_cast<int>(bits)) - 1; }
#else
PHALANX_DEVICE int PopCount(uint32_t bits) { return std::popcount(bits); }
PHALANX_DEVICE int LowestBit(uint32_t bits) { return std::countr_zero(bits); }
#endif

// 2^x within 2^-22 of its value; 2^0 is 1 and 2^-inf is 0. Results below 2^-126 may be 0.
#ifdef __CUDACC__
PHALANX_DEVICE float Exp2(float x) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
}
#else
PHALANX_DEVICE float Exp2(float x) { return std::exp2(x); }
#endif

// ------------------------------------------------------------------------------------------------
// Memory.

// N elements that are read and written as one; sizeof is 4, 8 or 16, and so is the alignment.
template <typename T, int N>
struct alignas(sizeof(T) * N) Vec {
  T v[N];
};

// One access of sizeof(V) bytes; `p` is aligned to it.
template <typename V>
PHALANX_DEVICE V LoadVec(const void* p) {
#ifndef __CUDACC__
  emulation::OnRead(p, sizeof(V), alignof(V));
  return emulation::PlainCopy<V>(p);
#else
  return *static_cast<const V*>(p);
#endif
}
template <typename V>
PHALANX_DEVICE void StoreVec(void* p, const V& value) {
#ifndef __CUDACC__
  emulation::OnWrite(p, sizeof(V), alignof(V));
  emulation::PlainStore(p, value);
#else
  *static_cast<V*>(p) = value;
#endif
}
// As LoadVec, for global memory that nobody writes during the launch and that this block reads
// once: it need not stay in the first-level cache. 16 bytes.
template <typename V>
PHALANX_DEVICE V LoadStreaming(const void* p) {
  static_assert(sizeof(V) == 16);
#ifndef __CUDACC__
  return LoadVec<V>(p);
#else
  union {
    uint4 words;
    V value;
  } loaded;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(loaded.words.x), "=r"(loaded.words.y), "=r"(loaded.words.z),
                 "=r"(loaded.words.w)
               : "l"(p));
  return loaded.value;
#endif
}

// The block's dynamic shared memory, handed out in the same order by every thread. What is handed
// out starts undefined and is aligned to 16 bytes.
class SharedMemory {
 public:
  template <typename T>
  PHALANX_DEVICE T* Array(int count) {
    const size_t bytes = (sizeof(T) * static_cast<size_t>(count) + 15) / 16 * 16;
#ifndef __CUDACC__
    return static_cast<T*>(emulation::SharedArray(bytes));
#else
    extern __shared__ __align__(128) unsigned char dynamic_shared_memory[];
    T* const array = reinterpret_cast<T*>(dynamic_shared_memory + used_);
    used_ += bytes;
    return array;
#endif
  }

 private:
#ifdef __CUDACC__
  size_t used_ = 0;
#endif
};
// What Array<T>(count) takes of a launch's shared bytes.
template <typename T>
constexpr size_t SharedBytes(int count) {
  return (sizeof(T) * static_cast<size_t>(count) + 15) / 16 * 16;
}

// ------------------------------------------------------------------------------------------------
// Barriers. They also order the memory accesses of the threads that meet; shuffles and votes do
// not.

#ifdef __CUDACC__
PHALANX_DEVICE void SyncThreads() { __syncthreads(); }
PHALANX_DEVICE void SyncWarp() { __syncwarp(); }
#else
PHALANX_DEVICE void SyncThreads() { emulation::SyncThreads(); }
PHALANX_DEVICE void SyncWarp() { emulation::SyncWarp(); }
#endif

// A barrier of `threads` threads, whole warps, of the block's (PTX ISA, bar.sync): those that came
// to the same `barrier`, 1 to 15, meet. Others neither wait nor are waited for.
#ifdef __CUDACC__
PHALANX_DEVICE void SyncBarrier(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
#else
PHALANX_DEVICE void SyncBarrier(int barrier, int threads) {
  emulation::SyncBarrier(barrier, threads);
}
#endif

// Atomic updates of a word of global or shared memory; what was there before. They order nothing
// else. Sums of floats are not among them: their order would be another each time.
#ifdef __CUDACC__
PHALANX_DEVICE uint32_t AtomicAdd(uint32_t* p, uint32_t value) { return atomicAdd(p, value); }
PHALANX_DEVICE uint32_t AtomicMax(uint32_t* p, uint32_t value) { return atomicMax(p, value); }
// Stores `value` where `expected` was.
PHALANX_DEVICE uint32_t AtomicCompareExchange(uint32_t* p, uint32_t expected, uint32_t value) {
  return atomicCAS(p, expected, value);
}
#else
PHALANX_DEVICE uint32_t AtomicAdd(uint32_t* p, uint32_t value) {
  return emulation::AtomicUpdate(
      p, [](uint32_t old, uint32_t v, uint32_t) { return old + v; }, value, 0);
}
PHALANX_DEVICE uint32_t AtomicMax(uint32_t* p, uint32_t value) {
  return emulation::AtomicUpdate(
      p, [](uint32_t old, uint32_t v, uint32_t) { return old > v ? old : v; }, value, 0);
}
PHALANX_DEVICE uint32_t AtomicCompareExchange(uint32_t* p, uint32_t expected, uint32_t value) {
  return emulation::AtomicUpdate(
      p, [](uint32_t old, uint32_t v, uint32_t e) { return old == e ? v : old; }, value, expected);
}
#endif

// Warp shuffles and votes (PTX ISA, shfl.sync and vote.sync). T has 4 bytes.
#ifdef __CUDACC__
inline constexpr unsigned kFullWarp = 0xffffffffu;
template <typename T>
PHALANX_DEVICE T ShuffleXor(T value, int lane_mask) {
  return __shfl_xor_sync(kFullWarp, value, lane_mask);
}
template <typename T>
PHALANX_DEVICE T ShuffleFrom(T value, int lane) {
  return __shfl_sync(kFullWarp, value, lane);
}
PHALANX_DEVICE unsigned Ballot(bool vote) { return __ballot_sync(kFullWarp, vote); }
#else
template <typename T>
PHALANX_DEVICE T ShuffleXor(T value, int lane_mask) {
  return emulation::Shuffle(value, LaneIndex() ^ lane_mask);
}
template <typename T>
PHALANX_DEVICE T ShuffleFrom(T value, int lane) {
  return emulation::Shuffle(value, lane % kWarpSize);
}
PHALANX_DEVICE unsigned Ballot(bool vote) { return emulation::Ballot(vote); }
#endif

// The largest value of the warp, in every lane (PTX ISA, redux.sync).
#ifdef __CUDACC__
PHALANX_DEVICE uint32_t WarpMax(uint32_t value) { return __reduce_max_sync(kFullWarp, value); }
#else
PHALANX_DEVICE uint32_t WarpMax(uint32_t value) { return emulation::WarpMax(value); }
#endif

// The sum over the warp in a fixed tree, the same value in every lane. T has 4 bytes.
template <typename T>
PHALANX_DEVICE T WarpSum(T value) {
  PHALANX_UNROLL
  for (int mask = kWarpSize / 2; mask > 0; mask /= 2) value += ShuffleXor(value, mask);
  return value;
}

// ------------------------------------------------------------------------------------------------
// Asynchronous copies from global to shared memory (PTX ISA, cp.async). Both addresses are aligned
// to 16. Of the 16 bytes, `valid_bytes` are read and the rest are zeros. What is copied may be used
// by the copying thread after its CopyAsyncWait, by others after a barrier behind that.

#ifdef __CUDACC__
PHALANX_DEVICE void CopyAsync16(void* shared, const void* global, int valid_bytes) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
               "r"(valid_bytes));
}
PHALANX_DEVICE void CopyAsyncCommit() { asm volatile("cp.async.commit_group;"); }
// Waits until at most `pending` of the groups that this thread committed are unfinished.
template <int pending>
PHALANX_DEVICE void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}
#else
PHALANX_DEVICE void CopyAsync16(void* shared, const void* global, int valid_bytes) {
  emulation::CopyAsync16(shared, global, valid_bytes);
}
PHALANX_DEVICE void CopyAsyncCommit() { emulation::CopyAsyncCommit(); }
template <int pending>
PHALANX_DEVICE void CopyAsyncWait() {
  emulation::CopyAsyncWait(pending);
}
#endif

// ------------------------------------------------------------------------------------------------
// Tensor cores.

// Four 8x8 matrices of 16-bit elements from shared memory (PTX ISA, ldmatrix .x4). Lanes 8 i .. 8 i
// + 7 give the addresses of matrix i's rows, 16 bytes each and aligned to that; r[i] gets elements
// 2 (lane % 4) and 2 (lane % 4) + 1 of row lane / 4 of matrix i, the transposed form of its
// transpose.
#ifdef __CUDACC__
PHALANX_DEVICE void LoadMatrices(uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
PHALANX_DEVICE void LoadMatricesTransposed(uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
#else
PHALANX_DEVICE void LoadMatrices(uint32_t (&r)[4], const void* row) {
  emulation::LoadMatrices(r, row);
}
PHALANX_DEVICE void LoadMatricesTransposed(uint32_t (&r)[4], const void* row) {
  emulation::LoadMatricesTransposed(r, row);
}
#endif

// d += a b for a 16x16 and b 16x8, in float (PTX ISA, mma.m16n8k16). With g = lane / 4, t = lane %
// 4:
//   a[0] row g,     columns 2t, 2t+1        a[1] row g + 8, the same columns
//   a[2] row g,     columns 2t+8, 2t+9      a[3] row g + 8, the same columns
//   b[0] rows 2t, 2t+1 of column g          b[1] rows 2t+8, 2t+9 of column g
//   d[0], d[1] row g, columns 2t, 2t+1      d[2], d[3] row g + 8, the same columns
// The element with the lower index lies in the lower half of a word.
template <typename T>
PHALANX_DEVICE void MultiplyTile(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
#ifdef __CUDACC__
template <>
PHALANX_DEVICE void MultiplyTile<BF16>(float (&d)[4], const uint32_t (&a)[4],
                                       const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
PHALANX_DEVICE void MultiplyTile<F16>(float (&d)[4], const uint32_t (&a)[4],
                                      const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#else
template <>
inline void MultiplyTile<BF16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::MultiplyTile(d, a, b, BF16ToFloat);
}
template <>
inline void MultiplyTile<F16>(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::MultiplyTile(d, a, b, F16ToFloat);
}
#endif

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
