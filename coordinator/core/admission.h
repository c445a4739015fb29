// Who may wait: counts what a worker group was given, learns how fast it gets on, and refuses what
// it could serve only much later.
//
// A sequence has a place from its admission to its end. The group runs max_num_seqs of them at
// once, or as many as it says while its KV cache holds no more or more would make each too slow;
// max_num_seqs and max_waiting together bound what is there. What a newcomer waits for
// is one of two things.
//
// A place among those that run: a key that has fewer than its part of them gets one, for the group
// lets others make way (worker/scheduler.h; where it has had no more tokens, which is not looked at
// here). Else, while all are taken, one becomes free with each end, so (sequences ahead that do not
// run) x (time between ends) is the wait, on average. Answers that began together often end
// together: where those that have run longest should take longer than that by what answers took so
// far, that is the wait. Then comes the time from a place to the first token.
//
// Prefill: a prompt waits until the request's first token. While more prompt tokens wait than one
// step takes, the group prefills as fast as it can, so what it then takes up per second is its
// rate, and (tokens that wait) / rate is the wait. Below that a newcomer is in one of the next
// steps, and there is nothing to measure or to refuse.
//
// A request may wait for max_first_token_wait, or for others as long as its own prompt takes: a
// limit shorter than one long prompt takes would else refuse a second one beside it.
//
// Pure: time is an argument. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>

#include "coordinator/core/clock.h"
#include "coordinator/core/limits.h"
#include "kernels/base/status.h"

namespace phalanx {

// Sequences, and their prompts' tokens.
struct Load {
  int32_t num_sequences = 0;
  int64_t prompt_tokens = 0;
};

// Those who share the places: a key with all its sequences that run or wait.
struct KeyShare {
  int32_t num_keys = 0;  // that have any, the newcomer's included; 0: places are not shared
  int32_t num_held = 0;  // by the newcomer's key
};

enum class LoadWords : uint8_t { kCounts, kNone };

struct Newcomer {
  Load load;  // prompt_tokens 0: not known yet
  // Where the prompt's tokens are not known yet, what they are at most.
  int64_t most_prompt_tokens = 0;
  Clock::time_point deadline = Clock::time_point::max();
  // What waits and would be served after it, where the group serves not in order of arrival.
  Load behind = {};
  KeyShare share = {};
  // Whether it may be told how much others ask for.
  LoadWords load_words = LoadWords::kCounts;
};

class Admission {
 public:
  explicit Admission(const Limits& limits)
      : max_waiting_(limits.max_waiting), max_wait_(limits.max_first_token_wait) {}

  // A group is attached: it runs so many sequences at once and takes so many tokens into one step.
  // Nothing is admitted and nothing is known of its rate.
  void Reset(int32_t max_num_seqs, int32_t max_num_batched_tokens);

  // INVALID_ARGUMENT naming "sampling.n" where there never will be places for so many sequences.
  // RESOURCE_EXHAUSTED where the request finds no place, or would wait for its first token longer
  // than allowed (above) or beyond its deadline; with the time after which it may not. A long
  // prompt alone is no reason.
  Status Check(const Newcomer& newcomer, Clock::time_point now) const;
  // Of a request that is refused although the group has places for it: those who share some limit
  // have `num_held` sequences under way, and `num_missing` of them have to end first. While all
  // places are taken that goes by how often any sequence ends, else by how long one runs, and
  // before any has ended by how long those that run have run.
  std::chrono::milliseconds ShareDelay(int32_t num_missing, int32_t num_held,
                                       Clock::time_point now) const;

  // So many sequences run at most as things are; taken as 1 to max_num_seqs.
  void OnPlaces(int32_t num_places, Clock::time_point now);

  void Enter(const Load& load, Clock::time_point now);
  // The request's first token is there, so long after it had a place.
  void TakeUp(int64_t prompt_tokens, double prefill_s, Clock::time_point now);
  void GiveUp(int64_t prompt_tokens) { waiting_tokens_ -= prompt_tokens; }  // it ended before
  void Begin(Clock::time_point now) { begun_.insert(now); }  // a sequence's first token is there
  // One sequence ended: it began at `begun`, or it had only waited.
  void LeaveServed(Clock::time_point begun, Clock::time_point now);
  void LeaveUnserved() { --num_sequences_; }

  int64_t waiting_tokens() const { return waiting_tokens_; }
  // Prompt tokens in a second; none: never measured.
  std::optional<double> rate() const;
  // Between two ends while all places that run are taken; none: never measured.
  std::optional<double> end_interval_s(Clock::time_point now) const;

 private:
  // Events of a time in which they came as fast as they can; the older the less weight.
  struct Pace {
    double count = 0;
    double seconds = 0;

    void Add(double events, double elapsed_s);
  };

  // A moving average: of the first ten plain, then of each new one a tenth.
  struct Mean {
    double value = 0;  // 0: there was none
    int32_t count = 0;

    void Add(double sample);
  };

  bool all_run_places_taken() const { return num_sequences_ >= num_places_; }
  double PlaceWait(const Newcomer& newcomer, Clock::time_point now) const;
  double NextEnds(int32_t ends, Clock::time_point now) const;
  double PrefillWait(const Newcomer& newcomer) const;
  double AllowedWait(const Newcomer& newcomer) const;
  Status CheckWait(const Newcomer& newcomer, Clock::time_point now) const;

  int32_t max_waiting_;
  std::chrono::duration<double> max_wait_;
  int32_t max_num_seqs_ = 0;
  int32_t num_places_ = 0;  // of those, what runs at most now
  int32_t step_tokens_ = 0;
  int32_t num_sequences_ = 0;
  int64_t waiting_tokens_ = 0;

  Pace taken_;  // prompt tokens
  Clock::time_point taken_mark_;
  std::multiset<Clock::time_point> begun_;  // of those that run
  Mean run_s_;                              // from there to the end
  Mean prefill_s_;
  Pace ended_;  // sequences
  Clock::time_point end_mark_;
};

}  // namespace phalanx
