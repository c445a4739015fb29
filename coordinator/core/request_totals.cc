#include "coordinator/core/request_totals.h"

namespace phalanx {

RequestTotals::Counts RequestTotals::counts() const {
  const std::lock_guard lock(mu_);
  return counts_;
}

void RequestTotals::OnRefused(StatusCode code) {
  {
    const std::lock_guard lock(mu_);
    ++counts_.refused;
  }
  next_->OnRefused(code);
}

void RequestTotals::OnFirstToken(const FirstTokenFacts& facts) {
  {
    const std::lock_guard lock(mu_);
    ++counts_.first_tokens;
    counts_.first_token_s += facts.since_arrival_s;
    counts_.prompt_tokens += facts.num_prompt_tokens;
  }
  next_->OnFirstToken(facts);
}

void RequestTotals::OnTokens(int64_t num_tokens, double since_last_s) {
  {
    const std::lock_guard lock(mu_);
    counts_.generated_tokens += num_tokens;
  }
  next_->OnTokens(num_tokens, since_last_s);
}

void RequestTotals::OnEnd(const EndFacts& facts) {
  const bool has_answer =
      facts.outcome == "stop" || facts.outcome == "length" || facts.outcome == "tool_calls";
  {
    const std::lock_guard lock(mu_);
    ++(has_answer ? counts_.finished : counts_.failed);
  }
  next_->OnEnd(facts);
}

}  // namespace phalanx
