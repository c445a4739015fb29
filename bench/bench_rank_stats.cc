// What metrics cost the ranks: the counts of a step, and rank 0's statistics, which go to the
// coordinator twice a second (ranks' memory included) and, without that, after requests' ends, at
// most every 10 ms.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <chrono>
#include <vector>

#include "worker/engine_wire.h"
#include "worker/rank_stats.h"

namespace phalanx {
namespace {

// As a rank does around a step (worker/engine.cc).
void BM_CountStep(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  const auto board = MakeLonelyLivenessBoard();
  LivenessRecord& record = board->mine();
  for (auto _ : state) {
    const Clock::time_point begin = Clock::now();
    const auto ns = static_cast<uint64_t>((Clock::now() - begin).count());
    record.steps.fetch_add(1, std::memory_order_relaxed);
    record.step_ns.fetch_add(ns, std::memory_order_relaxed);
    record.collective_ns.fetch_add(ns, std::memory_order_relaxed);
  }
}
BENCHMARK(BM_CountStep);

void BM_ReadRankStats(benchmark::State& state) {
  const auto board = MakeLonelyLivenessBoard();
  board->mine().pid = getpid();
  for (auto _ : state) benchmark::DoNotOptimize(ReadRankStats(*board));
}
BENCHMARK(BM_ReadRankStats);

void BM_StatsMessage(benchmark::State& state) {
  const std::vector<RankStats> ranks(static_cast<size_t>(state.range(0)));
  const SchedulerStats stats;
  for (auto _ : state) {
    internal::EngineEvent event;
    *event.mutable_stats() = ToWire(stats, ranks, 1);
    benchmark::DoNotOptimize(event.SerializeAsString());
  }
}
BENCHMARK(BM_StatsMessage)->ArgName("ranks")->Arg(1)->Arg(8);

}  // namespace
}  // namespace phalanx

BENCHMARK_MAIN();
