#include "coordinator/metrics/engine_metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

namespace phalanx::metrics {
namespace {

using prometheus::MetricType;

void AddGauge(const char* name, const char* help, double value, Families* families) {
  families->emplace_back(MakeFamily(name, help, MetricType::Gauge))
      .metric.push_back(MakeGauge(value));
}

void AddCounter(const char* name, const char* help, double value, Families* families) {
  families->emplace_back(MakeFamily(name, help, MetricType::Counter))
      .metric.push_back(MakeCounter(value));
}

void AppendState(ServingState state, Families* families) {
  AddGauge("phalanx_ready", "1 while requests are taken.", state == ServingState::kReady ? 1 : 0,
           families);
  auto& family = families->emplace_back(
      MakeFamily("phalanx_state", "1 for the state that the service is in.", MetricType::Gauge));
  for (const ServingState each : {ServingState::kLoading, ServingState::kReady,
                                  ServingState::kDraining, ServingState::kUnavailable}) {
    family.metric.push_back(MakeGauge(each == state ? 1 : 0, {{"state", std::string(Name(each))}}));
  }
}

void AppendRanks(const internal::EngineStats& stats, Families* families) {
  auto steps =
      MakeFamily("phalanx_rank_steps_total", "Steps that a rank has run.", MetricType::Counter);
  auto step_s = MakeFamily("phalanx_rank_step_seconds_total", "Time of a rank in steps.",
                           MetricType::Counter);
  auto collective_s =
      MakeFamily("phalanx_rank_collective_seconds_total",
                 "Time of a rank in collectives within steps, waiting for the others "
                 "included: the slowest rank has the least.",
                 MetricType::Counter);
  auto resident = MakeFamily("phalanx_rank_resident_memory_bytes",
                             "Resident memory of a rank's process.", MetricType::Gauge);
  for (const internal::RankStats& rank : stats.ranks()) {
    const Labels labels = {{"rank", fmt::format("{}", rank.rank())}};
    steps.metric.push_back(MakeCounter(static_cast<double>(rank.steps()), labels));
    step_s.metric.push_back(MakeCounter(1e-9 * static_cast<double>(rank.step_ns()), labels));
    collective_s.metric.push_back(
        MakeCounter(1e-9 * static_cast<double>(rank.collective_ns()), labels));
    resident.metric.push_back(MakeGauge(static_cast<double>(rank.resident_bytes()), labels));
  }
  for (auto* family : {&steps, &step_s, &collective_s, &resident}) {
    families->push_back(std::move(*family));
  }
}

// Blocks of the KV cache by what they hold.
struct Blocks {
  double used = 0;    // by running sequences
  double cached = 0;  // prefixes that no running sequence holds
  double empty = 0;

  static Blocks Of(const internal::Register& group, const internal::EngineStats& stats) {
    const auto all = static_cast<double>(group.num_blocks());
    const auto free = static_cast<double>(stats.num_free_blocks());
    const auto cached = static_cast<double>(stats.num_cached_blocks());
    return {.used = all - free, .cached = cached, .empty = free - cached};
  }
};

// All ranks hold the same blocks, each its own heads of them, so only the bytes differ.
void AppendMemory(const internal::Register& group, const internal::EngineStats& stats,
                  Families* families) {
  auto kv =
      MakeFamily("phalanx_rank_kv_cache_bytes",
                 "A rank's part of the KV cache, by what its blocks hold.", MetricType::Gauge);
  auto reserved =
      MakeFamily("phalanx_rank_device_memory_reserved_bytes",
                 "What a rank has allocated in its device's memory.", MetricType::Gauge);
  auto used = MakeFamily("phalanx_rank_device_memory_used_bytes",
                         "Of that, all but empty blocks of the KV cache.", MetricType::Gauge);
  auto free = MakeFamily("phalanx_rank_device_memory_free_bytes",
                         "What a rank's device can still give, to anybody.", MetricType::Gauge);
  const Blocks blocks = Blocks::Of(group, stats);
  for (const internal::RankStats& rank : stats.ranks()) {
    const std::string name = fmt::format("{}", rank.rank());
    const Labels labels = {{"rank", name}};
    const double block_bytes =
        static_cast<double>(rank.kv_cache_bytes()) / static_cast<double>(group.num_blocks());
    for (const auto& [state, count] :
         {std::pair{"used", blocks.used}, {"cached", blocks.cached}, {"empty", blocks.empty}}) {
      kv.metric.push_back(MakeGauge(block_bytes * count, {{"rank", name}, {"state", state}}));
    }
    if (!rank.has_device()) continue;
    const auto reserved_bytes = static_cast<double>(rank.device().reserved_bytes());
    reserved.metric.push_back(MakeGauge(reserved_bytes, labels));
    used.metric.push_back(MakeGauge(reserved_bytes - block_bytes * blocks.empty, labels));
    free.metric.push_back(MakeGauge(static_cast<double>(rank.device().free_bytes()), labels));
  }
  for (auto* family : {&kv, &reserved, &used, &free}) {
    if (!family->metric.empty()) families->push_back(std::move(*family));
  }
}

void AppendStepTokens(const internal::StepTokens& steps, Families* families) {
  if (steps.counts_size() != steps.bounds_size() + 1) return;  // none came yet
  prometheus::ClientMetric metric;
  uint64_t sum = 0;
  for (int i = 0; i < steps.counts_size(); ++i) {
    sum += static_cast<uint64_t>(steps.counts(i));
    const bool is_last = i == steps.bounds_size();
    metric.histogram.bucket.push_back({.cumulative_count = sum,
                                       .upper_bound = is_last
                                                          ? std::numeric_limits<double>::infinity()
                                                          : static_cast<double>(steps.bounds(i))});
  }
  metric.histogram.sample_count = sum;
  metric.histogram.sample_sum = static_cast<double>(steps.sum());
  families
      ->emplace_back(MakeFamily("phalanx_step_tokens", "Tokens, of prompts and answers, of a step.",
                                MetricType::Histogram))
      .metric.push_back(std::move(metric));
}

void AppendGroup(const internal::Register& group, const internal::EngineStats& stats,
                 Families* families) {
  const double num_blocks = static_cast<double>(group.num_blocks());
  const double num_free = static_cast<double>(stats.num_free_blocks());
  AddGauge("phalanx_kv_cache_blocks", "Blocks of the KV cache.", num_blocks, families);
  AddGauge("phalanx_kv_cache_free_blocks",
           "Blocks that no running request holds; some keep prefixes for reuse.", num_free,
           families);
  AddGauge("phalanx_kv_cache_usage_ratio", "The part of the KV cache that running requests hold.",
           num_blocks > 0 ? 1 - num_free / num_blocks : 0, families);
  AddGauge("phalanx_kv_cache_cached_blocks", "Of the free blocks, those that keep prefixes.",
           static_cast<double>(stats.num_cached_blocks()), families);
  AddGauge("phalanx_places", "Sequences that run at most as things are.", stats.num_places(),
           families);
  AddGauge("phalanx_places_limit", "Sequences that ever run at most.", group.max_num_seqs(),
           families);
  families
      ->emplace_back(
          MakeFamily("phalanx_group_info", "The worker group, in its labels.", MetricType::Gauge))
      .metric.push_back(MakeGauge(
          1, {{"ranks", fmt::format("{}", group.num_ranks())},
              {"device", group.device()},
              {"isa", group.isa()},
              {"dtype", group.dtype()},
              {"block_size", fmt::format("{}", group.block_size())},
              {"num_blocks", fmt::format("{}", group.num_blocks())},
              {"max_num_seqs", fmt::format("{}", group.max_num_seqs())},
              {"max_num_batched_tokens", fmt::format("{}", group.max_num_batched_tokens())},
              {"version", group.version()}}));
}

}  // namespace

void AppendEngine(const Dispatcher::Snapshot& snapshot, Families* families) {
  const internal::EngineStats& stats = snapshot.stats;
  AppendState(snapshot.state, families);
  AddGauge("phalanx_streams_open", "Requests admitted and not yet answered to their end.",
           static_cast<double>(snapshot.num_open), families);
  AddGauge("phalanx_requests_running", "Sequences that the worker group runs.", stats.num_running(),
           families);
  AddGauge("phalanx_requests_waiting", "Sequences that wait in the worker group.",
           stats.num_waiting(), families);
  AddGauge("phalanx_waiting_prompt_tokens", "Prompt tokens of requests without a first token.",
           static_cast<double>(snapshot.waiting_tokens), families);
  AddCounter("phalanx_preemptions_total", "Running sequences put back for want of KV blocks.",
             static_cast<double>(stats.num_preemptions()), families);
  AddCounter("phalanx_share_preemptions_total",
             "Running sequences put back for one of a key with fewer places.",
             static_cast<double>(stats.num_made_way()), families);
  AddCounter("phalanx_prefix_cache_queries_total", "Tokens looked up in the prefix cache.",
             static_cast<double>(stats.prefix_cache_queries()), families);
  AddCounter("phalanx_prefix_cache_hits_total", "Tokens found in the prefix cache.",
             static_cast<double>(stats.prefix_cache_hits()), families);
  AddCounter("phalanx_steps_total", "Steps of the worker group.",
             static_cast<double>(stats.last_step()), families);
  if (snapshot.session != nullptr) {
    AppendGroup(snapshot.session->info(), stats, families);
    if (snapshot.session->info().num_blocks() > 0) {
      AppendMemory(snapshot.session->info(), stats, families);
    }
  }
  AppendStepTokens(stats.step_tokens(), families);
  AppendRanks(stats, families);
}

void AppendProcess(Families* families) {
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  AddGauge("process_resident_memory_bytes", "Resident memory of the coordinator.",
           static_cast<double>(resident_pages * sysconf(_SC_PAGESIZE)), families);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  AddCounter("process_cpu_seconds_total", "Processor time of the coordinator.",
             seconds(usage.ru_utime) + seconds(usage.ru_stime), families);
  std::error_code error;
  const auto files = std::filesystem::directory_iterator("/proc/self/fd", error);
  AddGauge("process_open_fds", "Open files and sockets of the coordinator.",
           error ? 0 : static_cast<double>(std::distance(begin(files), end(files))), families);
}

}  // namespace phalanx::metrics
