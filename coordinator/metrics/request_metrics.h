// What requests went through, as counters and histograms.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/histogram.h>

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "coordinator/core/request_observer.h"
#include "coordinator/metrics/families.h"

namespace phalanx::metrics {

// Thread-safe.
class RequestMetrics final : public RequestObserver {
 public:
  RequestMetrics();

  void OnRefused(StatusCode code) override;
  void OnKeyLimit() override { key_limit_total_.Increment(); }
  void OnFirstToken(const FirstTokenFacts& facts) override;
  void OnTokens(int64_t num_tokens, double since_last_s) override;
  void OnEnd(const EndFacts& facts) override;

  void AppendTo(Families* families) const;

 private:
  using Counts = std::map<std::string, int64_t, std::less<>>;

  prometheus::Histogram first_token_s_;
  prometheus::Histogram token_gap_s_;
  prometheus::Histogram request_s_;
  prometheus::Histogram queue_s_;
  prometheus::Histogram prefill_s_;
  prometheus::Histogram decode_s_;
  prometheus::Histogram prompt_tokens_;
  prometheus::Histogram generation_tokens_;
  prometheus::Counter prompt_tokens_total_;
  prometheus::Counter generation_tokens_total_;
  prometheus::Counter key_limit_total_;

  mutable std::mutex mu_;
  Counts finished_;  // by outcome
  Counts refused_;   // by status
};

}  // namespace phalanx::metrics
