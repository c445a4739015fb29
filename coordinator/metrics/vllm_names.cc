#include "coordinator/metrics/vllm_names.h"

#include <array>
#include <map>
#include <string>
#include <string_view>

namespace phalanx::metrics {
namespace {

struct Alias {
  std::string_view own;
  std::string_view vllm;
};

// A counter's name in vLLM's code has no _total; what it shows has.
constexpr std::array kAliases = {
    Alias{"phalanx_requests_running", "vllm:num_requests_running"},
    Alias{"phalanx_requests_waiting", "vllm:num_requests_waiting"},
    Alias{"phalanx_kv_cache_usage_ratio", "vllm:kv_cache_usage_perc"},
    Alias{"phalanx_prefix_cache_queries_total", "vllm:prefix_cache_queries_total"},
    Alias{"phalanx_prefix_cache_hits_total", "vllm:prefix_cache_hits_total"},
    Alias{"phalanx_preemptions_total", "vllm:num_preemptions_total"},
    Alias{"phalanx_prompt_tokens_total", "vllm:prompt_tokens_total"},
    Alias{"phalanx_generation_tokens_total", "vllm:generation_tokens_total"},
    Alias{"phalanx_time_to_first_token_seconds", "vllm:time_to_first_token_seconds"},
    Alias{"phalanx_inter_token_latency_seconds", "vllm:inter_token_latency_seconds"},
    Alias{"phalanx_request_seconds", "vllm:e2e_request_latency_seconds"},
    Alias{"phalanx_request_queue_seconds", "vllm:request_queue_time_seconds"},
    Alias{"phalanx_request_prefill_seconds", "vllm:request_prefill_time_seconds"},
    Alias{"phalanx_request_decode_seconds", "vllm:request_decode_time_seconds"},
    Alias{"phalanx_request_prompt_tokens", "vllm:request_prompt_tokens"},
    Alias{"phalanx_request_generation_tokens", "vllm:request_generation_tokens"},
    Alias{"phalanx_step_tokens", "vllm:iteration_tokens_total"},
};

std::string_view LabelOf(const prometheus::ClientMetric& metric, std::string_view name) {
  for (const auto& label : metric.label) {
    if (label.name == name) return label.value;
  }
  return {};
}

// vLLM tells stop, length and abort apart; an answer that calls tools has stopped.
std::string FinishedReason(const std::string& outcome) {
  if (outcome == "length") return outcome;
  return outcome == "stop" || outcome == "tool_calls" ? "stop" : "abort";
}

prometheus::MetricFamily Successes(const prometheus::MetricFamily& finished) {
  std::map<std::string, double> counts = {{"stop", 0}, {"length", 0}, {"abort", 0}};
  for (const prometheus::ClientMetric& metric : finished.metric) {
    counts[FinishedReason(std::string(LabelOf(metric, "outcome")))] += metric.counter.value;
  }
  auto family =
      MakeFamily("vllm:request_success_total", finished.help, prometheus::MetricType::Counter);
  for (const auto& [reason, count] : counts) {
    family.metric.push_back(MakeCounter(count, {{"finished_reason", reason}}));
  }
  return family;
}

prometheus::MetricFamily CacheConfig(const prometheus::MetricFamily& group) {
  auto family = MakeFamily("vllm:cache_config_info", "The KV cache, in its labels.",
                           prometheus::MetricType::Gauge);
  for (const prometheus::ClientMetric& metric : group.metric) {
    family.metric.push_back(
        MakeGauge(1, {{"block_size", std::string(LabelOf(metric, "block_size"))},
                      {"num_gpu_blocks", std::string(LabelOf(metric, "num_blocks"))}}));
  }
  return family;
}

}  // namespace

void AppendVllmNames(Families* families) {
  Families copies;
  for (const prometheus::MetricFamily& family : *families) {
    if (family.name == "phalanx_requests_finished_total") copies.push_back(Successes(family));
    if (family.name == "phalanx_group_info") copies.push_back(CacheConfig(family));
    for (const Alias& alias : kAliases) {
      if (family.name != alias.own) continue;
      copies.push_back(family);
      copies.back().name = alias.vllm;
    }
  }
  for (prometheus::MetricFamily& copy : copies) families->push_back(std::move(copy));
}

}  // namespace phalanx::metrics
