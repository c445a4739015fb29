#include "worker/rank_stats.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace phalanx {
namespace {

// proc(5): the second number of statm counts resident pages.
int64_t ResidentBytes(int32_t pid) {
  std::ifstream statm(fmt::format("/proc/{}/statm", pid));
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) return 0;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

std::optional<RankStats::DeviceMemory> DeviceMemoryOf(const LivenessRecord& record) {
  const int64_t reserved_bytes = record.device_reserved_bytes.load(std::memory_order_acquire);
  if (reserved_bytes == 0) return std::nullopt;
  return RankStats::DeviceMemory{
      .reserved_bytes = reserved_bytes,
      .free_bytes = record.device_free_bytes.load(std::memory_order_relaxed)};
}

}  // namespace

std::vector<RankStats> ReadRankStats(const LivenessBoard& board) {
  std::vector<RankStats> ranks;
  for (int i = 0; i < board.size(); ++i) {
    const LivenessRecord& record = board.record(i);
    const int32_t pid = record.pid.load(std::memory_order_acquire);
    if (pid == 0) continue;
    ranks.push_back({.rank = record.rank.load(std::memory_order_relaxed),
                     .steps = record.steps.load(std::memory_order_relaxed),
                     .step_ns = record.step_ns.load(std::memory_order_relaxed),
                     .collective_ns = record.collective_ns.load(std::memory_order_relaxed),
                     .resident_bytes = ResidentBytes(pid),
                     .kv_cache_bytes = record.kv_cache_bytes.load(std::memory_order_relaxed),
                     .device = DeviceMemoryOf(record)});
  }
  std::ranges::sort(ranks, {}, &RankStats::rank);
  return ranks;
}

}  // namespace phalanx
