#include "coordinator/metrics/request_metrics.h"

#include <vector>

namespace phalanx::metrics {
namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;

// vLLM's, so that its dashboards and ours mean the same.
Buckets FirstTokenSeconds() {
  return {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,
          .75,  1,    2.5, 5,   7.5, 10,  20,  40, 80,  160};
}
Buckets TokenGapSeconds() {
  return {.001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3,
          .4,   .5,    .75,  1,   2.5,  5,   7.5,  10, 20,  40, 80};
}
Buckets RequestSeconds() {
  return {.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480};
}
Buckets TokenCounts() {
  return {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
}

void Append(const char* name, const char* help, const prometheus::Histogram& histogram,
            Families* families) {
  auto& family = families->emplace_back(MakeFamily(name, help, prometheus::MetricType::Histogram));
  family.metric.push_back(histogram.Collect());
}

void Append(const char* name, const char* help, const prometheus::Counter& counter,
            Families* families) {
  auto& family = families->emplace_back(MakeFamily(name, help, prometheus::MetricType::Counter));
  family.metric.push_back(counter.Collect());
}

void Append(const char* name, const char* help, const char* label,
            const std::map<std::string, int64_t, std::less<>>& counts, Families* families) {
  auto& family = families->emplace_back(MakeFamily(name, help, prometheus::MetricType::Counter));
  for (const auto& [value, count] : counts) {
    family.metric.push_back(MakeCounter(static_cast<double>(count), {{label, value}}));
  }
}

}  // namespace

// Outcomes are there from the start: a rate over a counter that appears with its first event
// misses that event.
RequestMetrics::RequestMetrics()
    : first_token_s_(FirstTokenSeconds()),
      token_gap_s_(TokenGapSeconds()),
      request_s_(RequestSeconds()),
      queue_s_(RequestSeconds()),
      prefill_s_(RequestSeconds()),
      decode_s_(RequestSeconds()),
      prompt_tokens_(TokenCounts()),
      generation_tokens_(TokenCounts()),
      finished_({{"stop", 0}, {"length", 0}, {"tool_calls", 0}}) {
  for (const StatusCode code : {StatusCode::kCancelled, StatusCode::kDeadlineExceeded,
                                StatusCode::kUnavailable, StatusCode::kInternal}) {
    finished_.emplace(Name(code), 0);
  }
  for (const StatusCode code : {StatusCode::kInvalidArgument, StatusCode::kResourceExhausted,
                                StatusCode::kUnauthenticated, StatusCode::kUnavailable}) {
    refused_.emplace(Name(code), 0);
  }
}

void RequestMetrics::OnRefused(StatusCode code) {
  std::lock_guard lock(mu_);
  ++refused_[std::string(Name(code))];
}

void RequestMetrics::OnFirstToken(const FirstTokenFacts& facts) {
  first_token_s_.Observe(facts.since_arrival_s);
  queue_s_.Observe(facts.queue_s);
  prefill_s_.Observe(facts.prefill_s);
  prompt_tokens_total_.Increment(facts.num_prompt_tokens);
}

void RequestMetrics::OnTokens(int64_t num_tokens, double since_last_s) {
  generation_tokens_total_.Increment(static_cast<double>(num_tokens));
  if (since_last_s >= 0) token_gap_s_.Observe(since_last_s);
}

void RequestMetrics::OnEnd(const EndFacts& facts) {
  {
    std::lock_guard lock(mu_);
    const auto found = finished_.find(facts.outcome);
    if (found != finished_.end()) {
      ++found->second;
    } else {
      finished_.emplace(facts.outcome, 1);
    }
  }
  request_s_.Observe(facts.since_arrival_s);
  if (facts.num_completion_tokens == 0) return;
  decode_s_.Observe(facts.decode_s);
  prompt_tokens_.Observe(facts.num_prompt_tokens);
  generation_tokens_.Observe(static_cast<double>(facts.num_completion_tokens));
}

void RequestMetrics::AppendTo(Families* families) const {
  Append("phalanx_time_to_first_token_seconds", "From a request's arrival to its first token.",
         first_token_s_, families);
  Append("phalanx_inter_token_latency_seconds", "Between two tokens of one answer.", token_gap_s_,
         families);
  Append("phalanx_request_seconds", "From a request's arrival to the end of its answer.",
         request_s_, families);
  Append("phalanx_request_queue_seconds", "From rank 0's taking a request to its first step.",
         queue_s_, families);
  Append("phalanx_request_prefill_seconds", "From a request's first step to its first token.",
         prefill_s_, families);
  Append("phalanx_request_decode_seconds", "From a request's first token to its last.", decode_s_,
         families);
  Append("phalanx_request_prompt_tokens", "Prompt tokens of ended requests.", prompt_tokens_,
         families);
  Append("phalanx_request_generation_tokens", "Tokens of ended requests' answers.",
         generation_tokens_, families);
  Append("phalanx_prompt_tokens_total", "Prompt tokens of requests that got a first token.",
         prompt_tokens_total_, families);
  Append("phalanx_generation_tokens_total", "Tokens generated.", generation_tokens_total_,
         families);
  std::lock_guard lock(mu_);
  Append("phalanx_requests_finished_total",
         "Admitted requests that have ended: stop, length, tool_calls, or the status that "
         "ended them.",
         "outcome", finished_, families);
  Append("phalanx_requests_refused_total",
         "Requests that no worker group was given, by the status of the answer.", "status",
         refused_, families);
  Append("phalanx_key_limit_refusals_total",
         "Of those with RESOURCE_EXHAUSTED, whose key was at its own limit.", key_limit_total_,
         families);
}

}  // namespace phalanx::metrics
