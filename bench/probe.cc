#include "bench/probe.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/probe.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "kernels/base/check.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// Sums n words (a multiple of 512) so that the loads cannot be dropped.
uint64_t SumWords(const uint64_t* words, size_t n) {
  constexpr size_t kSums = 8;
  const hn::ScalableTag<uint64_t> d;
  const size_t lanes = hn::Lanes(d);
  hn::Vec<decltype(d)> sums[kSums];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (size_t i = 0; i < n; i += kSums * lanes) {
    for (size_t s = 0; s < kSums; ++s) {
      sums[s] = hn::Add(sums[s], hn::Load(d, words + i + s * lanes));
    }
  }
  for (size_t s = 1; s < kSums; ++s) sums[0] = hn::Add(sums[0], sums[s]);
  return hn::GetLane(hn::SumOfLanes(d, sums[0]));
}

constexpr size_t kChains = 12;

// `rounds` fused multiply-adds on each of kChains vectors: enough chains to hide the latency, few
// enough for 16 registers.
float RunFma(int64_t rounds, float start) {
  const F32 d;
  const auto factor = hn::Set(d, 0.999f);
  const auto term = hn::Set(d, start);
  VecF32 chains[kChains];
  for (size_t c = 0; c < kChains; ++c) chains[c] = hn::Set(d, start + static_cast<float>(c));
  for (int64_t round = 0; round < rounds; ++round) {
    // In memory the chains would wait for their own stores.
#pragma GCC unroll 12
    for (size_t c = 0; c < kChains; ++c) chains[c] = hn::MulAdd(chains[c], factor, term);
  }
  for (size_t c = 1; c < kChains; ++c) chains[0] = hn::Add(chains[0], chains[c]);
  return hn::GetLane(hn::SumOfLanes(d, chains[0]));
}

size_t FlopPerRound() { return 2 * kChains * kLanes; }

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {
namespace {

double SecondsOf(const auto& function) {
  const auto begin = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

ReadBandwidthProbe::ReadBandwidthProbe(int num_threads, size_t bytes)
    : threads_({.num_threads = num_threads}) {
  const size_t unit = size_t{4096} * static_cast<size_t>(num_threads);
  StatusOr<MappedMemory> memory = MappedMemory::Allocate(bytes / unit * unit, "bandwidth probe");
  PHALANX_CHECK(memory.ok());
  memory_ = std::move(memory).value();
  std::memset(memory_.data(), 1, memory_.size_bytes());
}

double ReadBandwidthProbe::Measure() {
  const auto sum_words = PHALANX_TARGET_FUNCTION(AvailableIsas().front(), SumWords);
  const int64_t parts = threads_.num_threads();
  const size_t words = memory_.size_bytes() / sizeof(uint64_t) / static_cast<size_t>(parts);
  std::atomic<uint64_t> total{0};
  const double seconds = SecondsOf([&] {
    threads_.ParallelFor(parts, [&](int64_t part, int) {
      const auto* begin = static_cast<const uint64_t*>(memory_.data());
      total += sum_words(begin + static_cast<size_t>(part) * words, words);
    });
  });
  return static_cast<double>(memory_.size_bytes()) / seconds * 1e-9;
}

double MeasureReadBandwidth(int num_threads) {
  ReadBandwidthProbe probe(num_threads);
  double best = 0.0;
  for (int pass = 0; pass < 10; ++pass) best = std::max(best, probe.Measure());
  return best;
}

double MeasureFmaPeak(int num_threads, CpuIsa isa) {
  constexpr int64_t kRounds = 2'000'000;
  const auto run = PHALANX_TARGET_FUNCTION(isa, RunFma);
  const size_t flop_per_round = PHALANX_TARGET_FUNCTION(isa, FlopPerRound)();
  ThreadPool threads({.num_threads = num_threads});
  std::atomic<float> keep{1e-3F};
  double best = 0.0;
  for (int pass = 0; pass < 5; ++pass) {
    const double seconds = SecondsOf([&] {
      threads.ParallelFor(num_threads, [&](int64_t, int) { keep = run(kRounds, keep) * 1e-9F; });
    });
    best = std::max(best, static_cast<double>(flop_per_round) * static_cast<double>(kRounds) *
                              num_threads / seconds * 1e-9);
  }
  return best;
}

double MeasureFmaPeak(int num_threads) {
  return MeasureFmaPeak(num_threads, AvailableIsas().front());
}

double MeasureTilePeak(int num_threads) {
  const TileFunctions* tiles = FindTileFunctions();
  if (tiles == nullptr) return 0.0;
  constexpr int64_t kRounds = 2000;
  constexpr int64_t kSteps = 6;  // 30 KiB of x and weights
  constexpr int64_t kRows = 3 * kTileRows;
  constexpr double kFlop = 2.0 * kRounds * kSteps * kRows * kTileDepth * 2 * kTileSlots;
  constexpr size_t kXBytes = kSteps * kRows * kTileDepth * 2;
  constexpr size_t kWeightBytes = kSteps * kTileDepth * 2 * kTileSlots * 2;
  constexpr size_t kSumFloats = 2 * kRows * kTileSlots;
  ThreadPool threads({.num_threads = num_threads});
  double best = 0.0;
  for (int pass = 0; pass < 5; ++pass) {
    const double seconds = SecondsOf([&] {
      threads.ParallelFor(num_threads, [&](int64_t, int) {
        alignas(64) std::byte x[kXBytes] = {};
        alignas(64) std::byte weights[kWeightBytes] = {};
        alignas(64) float sums[kSumFloats];
        tiles->configure(kRows);
        for (int64_t round = 0; round < kRounds; ++round) {
          tiles->multiply({.x = x,
                           .weights = weights,
                           .num_steps = kSteps,
                           .num_rows = kRows,
                           .start = TileStart::kZero,
                           .sums = sums});
        }
        tiles->release();
      });
    });
    best = std::max(best, kFlop * num_threads / seconds * 1e-9);
  }
  return best;
}

}  // namespace phalanx
#endif  // HWY_ONCE
