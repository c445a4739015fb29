#include "kernels/cpu/rope_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope_kernel.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// Every product is rounded before the sum, in vectors and in the tail alike.
void Rotate(const float* x, const float* cos, const float* sin, size_t half, float* out) {
  const F32 d;
  size_t i = 0;
  for (; i + kLanes <= half; i += kLanes) {
    const auto c = hn::LoadU(d, cos + i);
    const auto s = hn::LoadU(d, sin + i);
    const auto a = hn::LoadU(d, x + i);
    const auto b = hn::LoadU(d, x + half + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, out + i);
    hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, out + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i];
    const float b = x[half + i];
    out[i] = a * cos[i] - b * sin[i];
    out[half + i] = b * cos[i] + a * sin[i];
  }
}

HWY_INLINE void StoreElement(float value, float* target) { *target = value; }
HWY_INLINE void StoreElement(float value, uint16_t* target) { *target = FloatToBF16(value); }

template <typename T>
void AppendKv(const RopeRow& row, const KvLayerView& cache, const float* k, const float* v) {
  const auto head_dim = static_cast<size_t>(cache.head_dim);
  const auto block_size = static_cast<size_t>(cache.block_size);
  const auto slot = static_cast<size_t>(row.slot);
  alignas(64) float rotated[kMaxHeadDim];  // before K is scattered into its transposed block
  for (int64_t head = 0; head < cache.num_kv_heads; ++head, k += head_dim, v += head_dim) {
    Rotate(k, row.cos, row.sin, head_dim / 2, rotated);
    T* k_block = reinterpret_cast<T*>(cache.k(row.block, head));
    T* v_row = reinterpret_cast<T*>(cache.v(row.block, head)) + slot * head_dim;
    for (size_t i = 0; i < head_dim; ++i) StoreElement(rotated[i], k_block + i * block_size + slot);
    for (size_t i = 0; i < head_dim; ++i) StoreElement(v[i], v_row + i);
  }
}

void RopeAppend(const RopeRow& row, const KvLayerView& cache) {
  const int64_t head_dim = cache.head_dim;
  const float* q = row.qkv;
  for (int64_t head = 0; head < row.num_heads; ++head, q += head_dim) {
    Rotate(q, row.cos, row.sin, static_cast<size_t>(head_dim / 2), row.q_out + head * head_dim);
  }
  const float* k = q;
  const float* v = k + cache.num_kv_heads * head_dim;
  if (cache.dtype == DType::kF32) {
    AppendKv<float>(row, cache, k, v);
  } else {
    AppendKv<uint16_t>(row, cache, k, v);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

RopeKernel GetRopeKernel(CpuIsa isa) { return PHALANX_TARGET_FUNCTION(isa, RopeAppend); }

}  // namespace phalanx
#endif  // HWY_ONCE
