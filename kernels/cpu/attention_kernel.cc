#include "kernels/cpu/attention_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_kernel.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// after highway.h
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <limits>

#include "kernels/base/check.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// Tokens whose scores are summed at once: the smallest block.
constexpr size_t kStripTokens = 16;
constexpr size_t kStripVectors = kStripTokens / kLanes;
// Head dimensions of which the weighted sum of V is kept in registers at once.
constexpr size_t kDimVectors = kLanes == 1 ? 8 : 2;
constexpr size_t kDimStrip = kDimVectors * kLanes;
// Scratch rows are padded to this many floats, a multiple of kDimStrip on every target.
constexpr size_t kDimPadding = 32;

constexpr size_t kCacheLineBytes = 64;

// Query rows that share one load of K or V in registers.
#if HWY_TARGET == HWY_AVX3
constexpr size_t kMaxRegisterRows = 12;
#elif HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_NEON
constexpr size_t kMaxRegisterRows = 6;
#else
constexpr size_t kMaxRegisterRows = 4;
#endif

struct StoredF32 {
  using Type = float;
  static HWY_INLINE VecF32 Load(const float* p) { return LoadF32(p); }
};
struct StoredBF16 {
  using Type = uint16_t;
  static HWY_INLINE VecF32 Load(const uint16_t* p) { return LoadBF16(p); }
};

// Named parts of a task's scratch.
struct Scratch {
  float* q;       // [head_dim, rows]
  float* scores;  // [rows, kKvTileTokens], then the softmax's numerators
  float* sums;    // [rows, padded head_dim], weighted sums of V
  float* max;     // [rows], running maximum of the scores
  float* total;   // [rows], running sum of the numerators
};

// scores[r, t] = q[r] . K[t] for kStripTokens tokens: per score one chain of fused multiply-adds
// over the head's dimensions. k_next: the same strip one tile on, fetched early: blocks lie
// anywhere, so the hardware sees no stream.
template <class Stored, size_t kRows>
void ScoreStrip(const float* q, size_t q_rows, const typename Stored::Type* k,
                const typename Stored::Type* k_next, size_t block_size, size_t head_dim,
                float* scores) {
  const F32 d;
  VecF32 sums[kRows][kStripVectors];
  for (auto& row : sums) {
    for (auto& sum : row) sum = hn::Zero(d);
  }
  for (size_t i = 0; i < head_dim; ++i, q += q_rows, k += block_size, k_next += block_size) {
    hwy::Prefetch(k_next);
    VecF32 keys[kStripVectors];
    for (size_t v = 0; v < kStripVectors; ++v) keys[v] = Stored::Load(k + v * kLanes);
    for (size_t r = 0; r < kRows; ++r) {
      const auto value = hn::Set(d, q[r]);
      for (size_t v = 0; v < kStripVectors; ++v) {
        sums[r][v] = FusedMulAdd(keys[v], value, sums[r][v]);
      }
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    for (size_t v = 0; v < kStripVectors; ++v) {
      hn::StoreU(sums[r][v], d, scores + r * kKvTileTokens + v * kLanes);
    }
  }
}

// sums[r] += scores[r, t] V[t] for tokens begin <= t < end of a tile: per sum one chain of fused
// multiply-adds over the tokens. v: the tile's blocks; v_next: those of the
// tile after it.
template <class Stored, size_t kRows>
void AddValues(const float* scores, const typename Stored::Type* const* v,
               const typename Stored::Type* const* v_next, size_t block_size, size_t head_dim,
               size_t begin, size_t end, size_t padded_dim, float* sums) {
  const F32 d;
  for (size_t dim = 0; dim < head_dim; dim += kDimStrip) {
    VecF32 sum[kRows][kDimVectors];
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t i = 0; i < kDimVectors; ++i) {
        sum[r][i] = hn::LoadU(d, sums + r * padded_dim + dim + i * kLanes);
      }
    }
    for (size_t t = begin; t < end;) {
      const size_t stop = std::min(end, (t / block_size + 1) * block_size);
      const size_t offset = t % block_size * head_dim + dim;
      const typename Stored::Type* row = v[t / block_size] + offset;
      const typename Stored::Type* next = v_next[t / block_size] + offset;
      for (; t < stop; ++t, row += head_dim, next += head_dim) {
        for (size_t i = 0; i < kDimStrip * sizeof(*next); i += kCacheLineBytes) {
          hwy::Prefetch(reinterpret_cast<const std::byte*>(next) + i);
        }
        VecF32 values[kDimVectors];
        for (size_t i = 0; i < kDimVectors; ++i) values[i] = Stored::Load(row + i * kLanes);
        for (size_t r = 0; r < kRows; ++r) {
          const auto weight = hn::Set(d, scores[r * kKvTileTokens + t]);
          for (size_t i = 0; i < kDimVectors; ++i) {
            sum[r][i] = FusedMulAdd(values[i], weight, sum[r][i]);
          }
        }
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t i = 0; i < kDimVectors; ++i) {
        hn::StoreU(sum[r][i], d, sums + r * padded_dim + dim + i * kLanes);
      }
    }
  }
}

template <class Stored, size_t kRows>
auto ScoreStripFor(size_t rows) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return ScoreStripFor<Stored, kRows - 1>(rows);
  }
  return &ScoreStrip<Stored, kRows>;
}

template <class Stored, size_t kRows>
auto AddValuesFor(size_t rows) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return AddValuesFor<Stored, kRows - 1>(rows);
  }
  return &AddValues<Stored, kRows>;
}

float ExpOf(float x) {
  const F32 d;
  return hn::GetLane(hn::Exp(d, hn::Set(d, x)));
}

// One step of the online softmax for one row: scores[0, visible) become exp(scale * score - max)
// with the new maximum, the rest 0; what was summed so far is rescaled to the new maximum.
void SoftmaxStep(float scale, size_t visible, float* scores, size_t padded_dim, float* max,
                 float* total, float* sums) {
  const F32 d;
  const auto lane = hn::Iota(d, 0.0f);
  const auto infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  auto tile_max = hn::Neg(infinity);
  for (size_t t = 0; t < kKvTileTokens; t += kLanes) {
    const auto is_visible =
        hn::Lt(lane, hn::Set(d, static_cast<float>(visible) - static_cast<float>(t)));
    const auto scaled = hn::Mul(hn::Load(d, scores + t), hn::Set(d, scale));
    const auto score = hn::IfThenElse(is_visible, scaled, hn::Neg(infinity));
    hn::Store(score, d, scores + t);
    tile_max = hn::Max(tile_max, score);
  }
  const float new_max = std::max(*max, hn::GetLane(hn::MaxOfLanes(d, tile_max)));
  auto tile_total = hn::Zero(d);
  for (size_t t = 0; t < kKvTileTokens; t += kLanes) {
    // exp(-inf) is taken to be 0 by a select, not by the polynomial.
    const auto score = hn::Load(d, scores + t);
    const auto weight = hn::IfThenZeroElse(hn::Eq(score, hn::Neg(infinity)),
                                           hn::Exp(d, hn::Sub(score, hn::Set(d, new_max))));
    hn::Store(weight, d, scores + t);
    tile_total = hn::Add(tile_total, weight);
  }
  const float added = hn::GetLane(hn::SumOfLanes(d, tile_total));
  if (*max == -std::numeric_limits<float>::infinity()) {
    *total = added;  // nothing was summed before
  } else if (new_max == *max) {
    *total += added;
  } else {
    const float rescale = ExpOf(*max - new_max);
    *total = *total * rescale + added;
    for (size_t i = 0; i < padded_dim; i += kLanes) {
      hn::Store(hn::Mul(hn::Load(d, sums + i), hn::Set(d, rescale)), d, sums + i);
    }
  }
  *max = new_max;
}

template <class Stored>
void Attend(const AttentionProblem& problem, const AttentionTask& task, const Scratch& scratch) {
  using T = typename Stored::Type;
  const KvLayerView& cache = problem.cache;
  const auto head_dim = static_cast<size_t>(cache.head_dim);
  const size_t padded_dim = (head_dim + kDimPadding - 1) / kDimPadding * kDimPadding;
  const auto block_size = static_cast<size_t>(cache.block_size);
  const auto heads = static_cast<size_t>(task.num_heads);
  const auto tokens = static_cast<size_t>(task.num_tokens);
  const size_t rows = tokens * heads;  // row r is token r / heads, head r % heads
  const int32_t* positions = problem.positions + task.first_token;
  const int32_t* blocks = problem.block_table + task.seq * problem.max_blocks_per_seq;

  for (size_t r = 0; r < rows; ++r) {
    const float* q = problem.q +
                     (task.first_token + static_cast<int64_t>(r / heads)) * problem.q_stride +
                     (task.first_head + static_cast<int64_t>(r % heads)) * cache.head_dim;
    for (size_t i = 0; i < head_dim; ++i) scratch.q[i * rows + r] = q[i];
    scratch.max[r] = -std::numeric_limits<float>::infinity();
    scratch.total[r] = 0.0f;
  }
  std::fill_n(scratch.sums, rows * padded_dim, 0.0f);

  const int64_t context = *std::max_element(positions, positions + tokens) + 1;
  for (int64_t tile = 0; tile < context; tile += kKvTileTokens) {
    // Tokens of the tile that some row sees, and that every row sees. Only blocks with tokens that
    // some row sees are touched.
    const auto visible_at = [&](size_t token) {
      return static_cast<size_t>(
          std::clamp<int64_t>(positions[token] + int64_t{1} - tile, 0, kKvTileTokens));
    };
    size_t most = 0;
    size_t least = kKvTileTokens;
    for (size_t token = 0; token < tokens; ++token) {
      most = std::max(most, visible_at(token));
      least = std::min(least, visible_at(token));
    }
    constexpr size_t kMaxBlocks = kKvTileTokens / kStripTokens;
    const T* k[kMaxBlocks];
    const T* v[kMaxBlocks];
    const T* k_next[kMaxBlocks];
    const T* v_next[kMaxBlocks];
    for (size_t b = 0; b * block_size < most; ++b) {
      const size_t index = static_cast<size_t>(tile) / block_size + b;
      const size_t next_index = index + kKvTileTokens / block_size;
      const bool has_next = static_cast<int64_t>(next_index * block_size) < context;
      const int32_t block = blocks[index];
      const int32_t next = has_next ? blocks[next_index] : block;
      PHALANX_DCHECK(block >= 0 && block < cache.num_blocks);
      k[b] = reinterpret_cast<const T*>(cache.k(block, task.kv_head));
      v[b] = reinterpret_cast<const T*>(cache.v(block, task.kv_head));
      k_next[b] = reinterpret_cast<const T*>(cache.k(next, task.kv_head));
      v_next[b] = reinterpret_cast<const T*>(cache.v(next, task.kv_head));
    }

    for (size_t t = 0; t < most; t += kStripTokens) {
      const T* strip = k[t / block_size] + t % block_size;
      const T* next = k_next[t / block_size] + t % block_size;
      for (size_t r = 0; r < rows; r += kMaxRegisterRows) {
        const size_t n = std::min(kMaxRegisterRows, rows - r);
        ScoreStripFor<Stored, kMaxRegisterRows>(n)(scratch.q + r, rows, strip, next, block_size,
                                                   head_dim,
                                                   scratch.scores + r * kKvTileTokens + t);
      }
    }
    for (size_t r = 0; r < rows; ++r) {
      const size_t visible = visible_at(r / heads);
      if (visible == 0) continue;
      SoftmaxStep(problem.scale, visible, scratch.scores + r * kKvTileTokens, padded_dim,
                  scratch.max + r, scratch.total + r, scratch.sums + r * padded_dim);
    }
    // Masked values are never multiplied, not even by 0: a recycled block may hold a NaN there.
    const auto add_values = [&](size_t first, size_t last, size_t begin, size_t end) {
      for (size_t r = first; r < last && begin < end; r += kMaxRegisterRows) {
        const size_t n = std::min(kMaxRegisterRows, last - r);
        AddValuesFor<Stored, kMaxRegisterRows>(n)(scratch.scores + r * kKvTileTokens, v, v_next,
                                                  block_size, head_dim, begin, end, padded_dim,
                                                  scratch.sums + r * padded_dim);
      }
    };
    add_values(0, rows, 0, least);
    for (size_t token = 0; token < tokens; ++token) {
      add_values(token * heads, (token + 1) * heads, least, visible_at(token));
    }
  }

  for (size_t r = 0; r < rows; ++r) {
    float* out = problem.out +
                 (task.first_token + static_cast<int64_t>(r / heads)) * problem.out_stride +
                 (task.first_head + static_cast<int64_t>(r % heads)) * cache.head_dim;
    const float inverse = 1.0f / scratch.total[r];
    for (size_t i = 0; i < head_dim; ++i) out[i] = scratch.sums[r * padded_dim + i] * inverse;
  }
}

void RunAttention(const AttentionProblem& problem, const AttentionTask& task, float* memory) {
  const auto head_dim = static_cast<size_t>(problem.cache.head_dim);
  const size_t padded_dim = (head_dim + kDimPadding - 1) / kDimPadding * kDimPadding;
  Scratch scratch{};
  scratch.scores = memory;
  scratch.sums = scratch.scores + kMaxAttentionRows * kKvTileTokens;
  scratch.q = scratch.sums + kMaxAttentionRows * padded_dim;
  scratch.max = scratch.q + kMaxAttentionRows * padded_dim;
  scratch.total = scratch.max + kMaxAttentionRows;
  if (problem.cache.dtype == DType::kF32) {
    Attend<StoredF32>(problem, task, scratch);
  } else {
    Attend<StoredBF16>(problem, task, scratch);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

size_t AttentionScratchFloats(int64_t head_dim) {
  const size_t padded_dim = (static_cast<size_t>(head_dim) + 31) / 32 * 32;
  return kMaxAttentionRows * (kKvTileTokens + 2 * padded_dim + 2);
}

AttentionKernel GetAttentionKernel(CpuIsa isa) {
  return PHALANX_TARGET_FUNCTION(isa, RunAttention);
}

}  // namespace phalanx
#endif  // HWY_ONCE
