// Counts what happens to requests, for GetServerInfo, and passes it on.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "coordinator/core/request_observer.h"

namespace phalanx {

// Thread-safe.
class RequestTotals final : public RequestObserver {
 public:
  struct Counts {
    int64_t prompt_tokens = 0;  // of requests that got a first token
    int64_t generated_tokens = 0;
    int64_t first_tokens = 0;  // requests that got one
    double first_token_s = 0;  // of all of those together
    int64_t finished = 0;      // with an answer
    int64_t failed = 0;        // admitted, and ended with a status
    int64_t refused = 0;
  };

  explicit RequestTotals(std::shared_ptr<RequestObserver> next) : next_(std::move(next)) {}

  Counts counts() const;

  void OnRefused(StatusCode code) override;
  void OnKeyLimit() override { next_->OnKeyLimit(); }
  void OnFirstToken(const FirstTokenFacts& facts) override;
  void OnTokens(int64_t num_tokens, double since_last_s) override;
  void OnEnd(const EndFacts& facts) override;

 private:
  const std::shared_ptr<RequestObserver> next_;
  mutable std::mutex mu_;
  Counts counts_;
};

}  // namespace phalanx
