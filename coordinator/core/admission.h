// Who may wait: counts what a worker group was given, learns how fast it takes prompts up, and
// refuses what the group could serve only much later.
//
// A sequence has a place from its admission to its end. The group runs max_num_seqs of them at once
// and max_waiting more may wait. A prompt waits until the request's first token. While more prompt
// tokens wait than one step takes, the group prefills as fast as it can, so what it then takes up
// per second is its rate, and (tokens that wait) / rate is how long a newcomer would wait. Below
// that a newcomer is in one of the next steps, and there is nothing to measure or to refuse.
//
// Pure: time is an argument. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "coordinator/core/clock.h"
#include "coordinator/core/limits.h"
#include "kernels/base/status.h"

namespace phalanx {

class Admission {
 public:
  explicit Admission(const Limits& limits)
      : max_waiting_(limits.max_waiting), max_wait_(limits.max_first_token_wait) {}

  // A group is attached: it runs so many sequences at once and takes so many tokens into one step.
  // Nothing is admitted and nothing is known of its rate.
  void Reset(int32_t max_num_seqs, int32_t max_num_batched_tokens);

  // INVALID_ARGUMENT naming "sampling.n" where there never will be places for so many sequences.
  // RESOURCE_EXHAUSTED where a request of `num_sequences` with `prompt_tokens` (0: not known yet)
  // finds no place, or would wait for its first token longer than max_first_token_wait or beyond
  // `deadline`. A long prompt alone is no reason.
  Status Check(int32_t num_sequences, int64_t prompt_tokens, Clock::time_point deadline,
               Clock::time_point now);
  // When what Check refused last may be worth repeating.
  std::chrono::milliseconds retry_delay() const;

  void Enter(int32_t num_sequences, int64_t prompt_tokens, Clock::time_point now);
  void TakeUp(int64_t prompt_tokens, Clock::time_point now);  // the request's first token is there
  void GiveUp(int64_t prompt_tokens) { waiting_tokens_ -= prompt_tokens; }  // it ended before
  void Leave(Clock::time_point now);                                        // one sequence ended

  int64_t waiting_tokens() const { return waiting_tokens_; }
  // Prompt tokens in a second; none: never measured.
  std::optional<double> rate() const;

 private:
  Status CheckWait(int64_t prompt_tokens, Clock::time_point deadline, Clock::time_point now);

  int32_t max_waiting_;
  std::chrono::duration<double> max_wait_;
  int32_t max_num_seqs_ = 0;
  int32_t step_tokens_ = 0;
  int32_t num_sequences_ = 0;
  int64_t waiting_tokens_ = 0;
  double retry_s_ = 1.0;

  // Of saturated prefill, the older the less weight.
  double taken_tokens_ = 0;
  double taken_s_ = 0;
  Clock::time_point taken_mark_;
  // Between ends of sequences while some run; a moving average.
  double end_interval_s_ = 1.0;
  Clock::time_point end_mark_;
};

}  // namespace phalanx
