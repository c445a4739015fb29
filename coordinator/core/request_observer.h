// What metrics hear of the request path. All times are seconds.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

struct FirstTokenFacts {
  double since_arrival_s = 0;  // the coordinator's clock
  double queue_s = 0;          // rank 0's, as in an answer's timings
  double prefill_s = 0;
  int32_t num_prompt_tokens = 0;
};

struct EndFacts {
  std::string_view outcome;  // "stop", "length", "tool_calls", or the name of a status code
  double since_arrival_s = 0;
  double decode_s = 0;            // from the first token to the last
  int32_t num_prompt_tokens = 0;  // 0: the request ended before its first token
  int64_t num_completion_tokens = 0;
};

// Hears of each event as it happens, from any thread; has to return at once. Ignores what it does
// not override.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  // A request was refused before a worker group had it.
  virtual void OnRefused(StatusCode /*code*/) {}
  // It will be, because its key is at its own limit.
  virtual void OnKeyLimit() {}
  virtual void OnFirstToken(const FirstTokenFacts& /*facts*/) {}
  // A choice got tokens. `since_last_s`: after its last ones; negative where these are its first.
  virtual void OnTokens(int64_t /*num_tokens*/, double /*since_last_s*/) {}
  // An admitted request has ended and nobody reads it any more.
  virtual void OnEnd(const EndFacts& /*facts*/) {}
};

}  // namespace phalanx
