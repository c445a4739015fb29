#include "kernels/cpu/candidates_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/candidates_kernel.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// after highway.h
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <limits>

#include "kernels/cpu/simd-inl.h"
#include "kernels/gumbel.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

using VecU32 = hn::Vec<U32>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

HWY_INLINE VecF32 MinusInfinity() { return hn::Set(F32(), -kInfinity); }

// kLanes logits from column c on, what lies past the end as -inf.
HWY_INLINE VecF32 LoadLogits(const LogitsRow& row, int64_t c) {
  const F32 d;
  const int64_t left = row.num_columns - c;
  if (left >= static_cast<int64_t>(kLanes)) return hn::LoadU(d, row.logits + c);
  alignas(64) float lanes[kLanes];
  std::fill_n(lanes, kLanes, -kInfinity);
  std::copy_n(row.logits + c, left, lanes);
  return hn::Load(d, lanes);
}

RowSummary Summarize(const LogitsRow& row, float* group_max) {
  const F32 d;
  RowSummary summary{.max = -kInfinity, .num_nan = 0};
  for (int64_t group = 0; group < row.num_columns; group += kCandidateGroup) {
    auto max = MinusInfinity();
    const int64_t end = std::min(group + kCandidateGroup, row.num_columns);
    for (int64_t c = group; c < end; c += kLanes) {
      const auto logits = LoadLogits(row, c);
      const auto valid = hn::Lt(logits, hn::Set(d, kInfinity));
      if (!hn::AllTrue(d, valid)) [[unlikely]] {
        summary.num_nan += static_cast<int64_t>(kLanes - hn::CountTrue(d, valid));
      }
      max = hn::Max(max, hn::IfThenElse(valid, logits, MinusInfinity()));
    }
    const float of_group = hn::GetLane(hn::MaxOfLanes(d, max));
    group_max[group / kCandidateGroup] = of_group;
    summary.max = std::max(summary.max, of_group);
  }
  return summary;
}

double SumExp(const LogitsRow& row, float max, float inv_temperature) {
  // Short float sums, added up in double: the error does not grow with the vocabulary.
  constexpr int64_t kChunk = 1024;
  const F32 d;
  double total = 0.0;
  for (int64_t chunk = 0; chunk < row.num_columns; chunk += kChunk) {
    auto sum = hn::Zero(d);
    const int64_t end = std::min(chunk + kChunk, row.num_columns);
    for (int64_t c = chunk; c < end; c += kLanes) {
      const auto logits = LoadLogits(row, c);
      const auto scaled = hn::Mul(hn::Sub(logits, hn::Set(d, max)), hn::Set(d, inv_temperature));
      // Below -104 exp is 0 in float32. The comparison is false for NaN and for -inf.
      const auto counts =
          hn::And(hn::Lt(logits, hn::Set(d, kInfinity)), hn::Gt(scaled, hn::Set(d, -104.0f)));
      sum = hn::Add(sum, hn::IfThenElseZero(counts, hn::Exp(d, scaled)));
    }
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
  }
  return total;
}

void Collect(const LogitsRow& row, int64_t first_id, const float* group_max, float threshold,
             std::vector<Candidate>& out) {
  const F32 d;
  for (int64_t group = 0; group < row.num_columns; group += kCandidateGroup) {
    const float max = group_max[group / kCandidateGroup];
    if (max < threshold || max == -kInfinity) continue;
    const int64_t end = std::min(group + kCandidateGroup, row.num_columns);
    for (int64_t c = group; c < end; c += kLanes) {
      if (hn::AllFalse(d, hn::Ge(LoadLogits(row, c), hn::Set(d, threshold)))) continue;
      const int64_t stop = std::min(c + static_cast<int64_t>(kLanes), row.num_columns);
      for (int64_t column = c; column < stop; ++column) {
        const float logit = row.logits[column];
        if (logit >= threshold && logit > -kInfinity && logit < kInfinity) {
          out.push_back({static_cast<int32_t>(first_id + column), logit});
        }
      }
    }
  }
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE VecU32 PhiloxWords(uint64_t seed, VecU32 c0, uint32_t index, uint32_t choice) {
  return hn::Set(U32(), PhiloxFirstWord(seed, hn::GetLane(c0), index, choice));
}
#else
using U64 = hn::RepartitionToWide<U32>;
using VecU64 = hn::Vec<U64>;

// Products of the lower halves of 64-bit lanes.
HWY_INLINE VecU64 MulLowHalves(VecU64 a, VecU64 b) {
  return hn::MulEven(hn::BitCast(U32(), a), hn::BitCast(U32(), b));
}

// The first words for the lower halves of c0. Each word of the state is the lower half of a 64-bit
// lane, so that a product's two halves need no regrouping; upper halves are never looked at.
HWY_INLINE VecU64 PhiloxLowHalves(uint64_t seed, VecU64 c0, uint32_t index, uint32_t choice) {
  const U64 d;
  auto c1 = hn::Set(d, uint64_t{index});
  auto c2 = hn::Set(d, uint64_t{choice});
  auto c3 = hn::Zero(d);
  auto key0 = static_cast<uint32_t>(seed);
  auto key1 = static_cast<uint32_t>(seed >> 32);
  const auto multiplier0 = hn::Set(d, uint64_t{kPhiloxMultiplier0});
  const auto multiplier1 = hn::Set(d, uint64_t{kPhiloxMultiplier1});
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const auto product0 = MulLowHalves(c0, multiplier0);
    const auto product1 = MulLowHalves(c2, multiplier1);
    c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), c1), hn::Set(d, uint64_t{key0}));
    c1 = product1;
    c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), c3), hn::Set(d, uint64_t{key1}));
    c3 = product0;
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  return c0;
}

HWY_INLINE VecU32 PhiloxWords(uint64_t seed, VecU32 c0, uint32_t index, uint32_t choice) {
  const U32 d;
  const U64 d64;
  const auto pairs = hn::BitCast(d64, c0);
  const auto even = PhiloxLowHalves(seed, pairs, index, choice);
  const auto odd = PhiloxLowHalves(seed, hn::ShiftRight<32>(pairs), index, choice);
  return hn::OddEven(hn::BitCast(d, hn::ShiftLeft<32>(odd)), hn::BitCast(d, even));
}
#endif

HWY_INLINE VecF32 TwoAtanh(VecF32 s) {
  const F32 d;
  const auto s2 = hn::Mul(s, s);
  auto p = hn::Set(d, kAtanh9);
  p = hn::Add(hn::Mul(p, s2), hn::Set(d, kAtanh7));
  p = hn::Add(hn::Mul(p, s2), hn::Set(d, kAtanh5));
  p = hn::Add(hn::Mul(p, s2), hn::Set(d, kAtanh3));
  p = hn::Add(hn::Mul(p, s2), hn::Set(d, 1.0f));
  return hn::Mul(hn::Add(s, s), p);
}

// x = m 2^exponent, s = (m - 1) / (m + 1)
struct LogParts {
  VecF32 exponent;
  VecF32 s;
};
HWY_INLINE LogParts SplitForLog(VecF32 x) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto bits = hn::BitCast(di, x);
  const auto exponent =
      hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, static_cast<int32_t>(kSqrtHalfBits))));
  const auto m = hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(exponent)));
  const auto one = hn::Set(d, 1.0f);
  return {hn::ConvertTo(d, exponent), hn::Div(hn::Sub(m, one), hn::Add(m, one))};
}
HWY_INLINE VecF32 LogOfParts(const LogParts& parts) {
  return hn::Add(hn::Mul(parts.exponent, hn::Set(F32(), kLog2)), TwoAtanh(parts.s));
}

// At least GumbelOfWord, from the word's leading zeros alone: g <= -log(v), and v >= 2^(j + 1 - 32)
// where w / 2 has the exponent j (w < 2 counts as j = -2, for v >= 2^-33). The factor is enough
// above log 2 to cover the variate's own rounding and the conversion's.
HWY_INLINE VecF32 GumbelBound(VecU32 w) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto half = hn::ConvertTo(d, hn::BitCast(di, hn::ShiftRight<1>(w)));
  const auto bits = hn::BitCast(di, hn::Max(half, hn::Set(d, 0.25f)));
  const auto exponent = hn::ConvertTo(d, hn::ShiftRight<23>(bits));
  return hn::Mul(hn::Sub(hn::Set(d, 127.0f + 31.0f), exponent), hn::Set(d, 0.6932f));
}

// GumbelOfWord on every lane.
HWY_INLINE VecF32 GumbelOfWords(VecU32 w) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto zero = hn::Zero(d);
  const auto wi = hn::BitCast(di, w);
  const auto is_upper = hn::Lt(wi, hn::Zero(di));
  const auto n = hn::IfThenElse(is_upper, hn::Not(wi), wi);
  const auto y = hn::Mul(hn::Add(hn::ConvertTo(d, n), hn::Set(d, 0.5f)), hn::Set(d, 0x1p-32f));
  const auto upper = hn::RebindMask(d, is_upper);
  LogParts parts = SplitForLog(hn::IfThenElse(upper, y, hn::Sub(hn::Set(d, 1.0f), y)));
  const auto from_y =
      hn::AndNot(hn::VecFromMask(d, upper), hn::VecFromMask(d, hn::Lt(y, hn::Set(d, kLog1pLimit))));
  const auto use_y = hn::MaskFromVec(from_y);
  parts.s = hn::IfThenElse(use_y, hn::Div(hn::Sub(zero, y), hn::Sub(hn::Set(d, 2.0f), y)), parts.s);
  parts.exponent = hn::IfThenZeroElse(use_y, parts.exponent);
  return hn::Sub(zero, LogOfParts(SplitForLog(hn::Sub(zero, LogOfParts(parts)))));
}

void GumbelArgmax(const LogitsRow& row, int64_t first_id, const CandidateTask& task,
                  CandidateResult& result) {
  const F32 d;
  const U32 du;
  auto best_score = MinusInfinity();  // of the columns that a lane has seen
  auto best_column = hn::Zero(du);
  auto best = MinusInfinity();  // of all columns so far; a later one must exceed it
  const auto inv_temperature = hn::Set(d, task.inv_temperature);
  for (int64_t c = 0; c < row.num_columns; c += kLanes) {
    const auto logits = LoadLogits(row, c);
    const auto scaled = hn::Mul(logits, inv_temperature);
    const auto allowed = hn::And(
        hn::And(hn::Ge(logits, hn::Set(d, task.min_logit)), hn::Gt(logits, MinusInfinity())),
        hn::Lt(logits, hn::Set(d, kInfinity)));
    // Most columns could not win even with the largest variate, and of the others most not with a
    // variate of their word's size: only few need the logarithms.
    const auto may_win = hn::And(allowed, hn::Gt(hn::Add(scaled, hn::Set(d, kMaxGumbel)), best));
    if (hn::AllFalse(d, may_win)) continue;
    const auto columns = hn::Iota(du, static_cast<uint32_t>(c));
    const auto ids = hn::Add(columns, hn::Set(du, static_cast<uint32_t>(first_id)));
    const auto words = PhiloxWords(task.seed, ids, task.index, task.choice);
    const auto can_win = hn::And(may_win, hn::Gt(hn::Add(scaled, GumbelBound(words)), best));
    if (hn::AllFalse(d, can_win)) continue;
    const auto score = hn::Add(scaled, GumbelOfWords(words));
    const auto wins = hn::And(can_win, hn::Gt(score, best_score));
    best_score = hn::IfThenElse(wins, score, best_score);
    best_column =
        hn::BitCast(du, hn::IfThenElse(wins, hn::BitCast(d, columns), hn::BitCast(d, best_column)));
    best = hn::MaxOfLanes(d, best_score);
  }
  alignas(64) float scores[kLanes];
  alignas(64) uint32_t columns[kLanes];
  hn::Store(best_score, d, scores);
  hn::Store(best_column, du, columns);
  result.gumbel = Candidate{};
  result.gumbel_score = -std::numeric_limits<double>::infinity();
  size_t winner = kLanes;
  for (size_t i = 0; i < kLanes; ++i) {
    if (scores[i] == -kInfinity) continue;
    if (winner == kLanes || scores[i] > scores[winner] ||
        (scores[i] == scores[winner] && columns[i] < columns[winner])) {
      winner = i;
    }
  }
  if (winner == kLanes) return;
  result.gumbel = {static_cast<int32_t>(first_id + columns[winner]), row.logits[columns[winner]]};
  result.gumbel_score = static_cast<double>(scores[winner]);
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

CandidateKernels GetCandidateKernels(CpuIsa isa) {
  return {PHALANX_TARGET_FUNCTION(isa, Summarize), PHALANX_TARGET_FUNCTION(isa, SumExp),
          PHALANX_TARGET_FUNCTION(isa, Collect), PHALANX_TARGET_FUNCTION(isa, GumbelArgmax)};
}

}  // namespace phalanx
#endif  // HWY_ONCE
