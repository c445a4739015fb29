#include <immintrin.h>

#include <cstring>

#include "kernels/cpu/quantized_layout.h"
#include "kernels/cpu/vnni.h"

// The rest of the program must run on machines without it.
#define PHALANX_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

namespace phalanx {
namespace {

constexpr int64_t kSlotsOfHalf = kQuantizedSlots / 2;
constexpr int64_t kQuadBytes = kSlotsOfHalf * kQuad;  // of one half: a vector

// Values as unsigned bytes: 8 bits with their sign turned, so plus 128; 4 bits as they lie, plus 8.
template <int kBits>
constexpr int kValueZero = kBits == 8 ? 128 : 8;

template <int kBits>
PHALANX_VNNI inline __m512i LoadQuad(const std::byte* half, int64_t quad) {
  if constexpr (kBits == 8) {
    const __m512i bytes = _mm512_loadu_si512(half + quad * kQuadBytes);
    return _mm512_xor_si512(bytes, _mm512_set1_epi8(static_cast<char>(0x80)));
  } else {
    const __m512i bytes = _mm512_loadu_si512(half + quad / 2 * kQuadBytes);
    // The maskz form: GCC 12 takes the plain one's unused operand for an uninitialized one.
    const __m512i nibbles =
        quad % 2 == 0 ? bytes : _mm512_maskz_srli_epi16(~__mmask32{0}, bytes, 4);
    return _mm512_and_si512(nibbles, _mm512_set1_epi8(15));
  }
}

// kHalves halves from `first_half` on.
template <int64_t kRows, int64_t kDigits, int kBits, int64_t kHalves>
PHALANX_VNNI void SumHalves(const VnniProduct& product, int64_t first_half) {
  __m512i acc[kHalves][kRows][kDigits];
  for (int64_t h = 0; h < kHalves; ++h) {
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t d = 0; d < kDigits; ++d) acc[h][r][d] = _mm512_setzero_si512();
    }
  }
  int32_t digit_sums[kRows][kDigits] = {};
  constexpr int64_t kHalfBytes = kQuadsOfStep * kQuadBytes * kBits / 8;
  for (int64_t step = 0; step < product.num_steps; ++step) {
    const std::byte* values = product.values + step * product.step_bytes + first_half * kHalfBytes;
    const std::byte* x = product.x + step * product.x_step_bytes;
    for (int64_t pair = 0; pair < kQuadsOfStep; pair += 2) {
      for (int64_t quad = pair; quad < pair + 2; ++quad, x += kRows * kDigits * kQuad) {
        __m512i weights[kHalves];
        for (int64_t h = 0; h < kHalves; ++h) {
          weights[h] = LoadQuad<kBits>(values + h * kHalfBytes, quad);
        }
        for (int64_t r = 0; r < kRows; ++r) {
          for (int64_t d = 0; d < kDigits; ++d) {
            int32_t four = 0;
            std::memcpy(&four, x + (r * kDigits + d) * kQuad, sizeof(four));
            const __m512i by = _mm512_set1_epi32(four);
            for (int64_t h = 0; h < kHalves; ++h) {
              acc[h][r][d] = _mm512_dpbusd_epi32(acc[h][r][d], weights[h], by);
            }
          }
        }
      }
    }
    int32_t of_step[kRows][kDigits];
    std::memcpy(of_step, x, sizeof(of_step));
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t d = 0; d < kDigits; ++d) digit_sums[r][d] += of_step[r][d];
    }
  }
  int32_t* sums = product.sums + first_half * kRows * kDigits * kSlotsOfHalf;
  for (int64_t h = 0; h < kHalves; ++h) {
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t d = 0; d < kDigits; ++d, sums += kSlotsOfHalf) {
        const __m512i excess = _mm512_set1_epi32(kValueZero<kBits> * digit_sums[r][d]);
        _mm512_storeu_si512(sums, _mm512_sub_epi32(acc[h][r][d], excess));
      }
    }
  }
}

template <int64_t kRows, int64_t kDigits, int kBits>
void Sum(const VnniProduct& product) {
  // As many sums as leave registers for the weights.
  if constexpr (kRows <= 4) {
    SumHalves<kRows, kDigits, kBits, 2>(product, 0);
  } else {
    SumHalves<kRows, kDigits, kBits, 1>(product, 0);
    SumHalves<kRows, kDigits, kBits, 1>(product, 1);
  }
}

template <int64_t kDigits, int kBits, int64_t kRows = kMaxVnniRows>
VnniFunction SumOfRows(int64_t rows) {
  if (rows == kRows) return &Sum<kRows, kDigits, kBits>;
  if constexpr (kRows > 1) return SumOfRows<kDigits, kBits, kRows - 1>(rows);
  return nullptr;
}

void Multiply(const VnniProduct& product) {
  const int64_t rows = product.num_rows;
  const VnniFunction sum =
      product.bits == 8 ? product.num_digits == 3 ? SumOfRows<3, 8>(rows) : SumOfRows<2, 8>(rows)
      : product.num_digits == 3 ? SumOfRows<3, 4>(rows)
                                : SumOfRows<2, 4>(rows);
  sum(product);
}

}  // namespace

VnniFunction FindVnniFunction() {
  return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") ? &Multiply
                                                                                    : nullptr;
}

}  // namespace phalanx
