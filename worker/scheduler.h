// Continuous batching with chunked prefill (Yu et al. 2022, Orca; Agrawal et al. 2024,
// Sarathi-Serve). Lives on rank 0 and is pure: no clock, no I/O, no device; the caller passes what
// happened and gets the next plan.
//
// Each Schedule() call first continues running sequences (decode tokens first, then prefill
// chunks), then admits waiting ones, under a budget of max_num_batched_tokens rows. When blocks run
// out, the newest running sequence is preempted: its blocks are freed and it waits, before new
// arrivals, to be recomputed from prompt + emitted tokens. Nobody starves: under kPriority a
// waiting sequence's priority ages by one level every `aging_steps` steps.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"
#include "worker/step_plan.h"

namespace phalanx {

enum class SchedulingPolicy : uint8_t { kFcfs, kPriority };
enum class PrefixCaching : uint8_t { kOff, kOn };

struct SchedulerConfig {
  PlanLimits limits;
  SchedulingPolicy policy = SchedulingPolicy::kFcfs;
  PrefixCaching prefix_caching = PrefixCaching::kOn;
  int32_t max_num_logit_rows = 64;
  int64_t aging_steps = 64;
};

struct EngineRequest {
  uint64_t id = 0;
  uint64_t group = 0;  // choices of one request share it and so, through the prefix cache, their
                       // full prompt blocks
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> emitted_ids;  // replayed output; not reported again
  SamplingParams params;
  int32_t priority = 0;    // lower first, under kPriority
  std::string cache_salt;  // sequences share blocks only under equal salts
};

enum class FinishReason : uint8_t { kNone, kEos, kStopToken, kLength, kCancelled };

// What the ranks sampled for one SequenceWork of the plan with Sample::kLast, in plan order.
struct SampledToken {
  int32_t slot = 0;
  int32_t token_id = 0;
};

// One token that a request gained by a step.
struct TokenOutput {
  uint64_t request = 0;
  int32_t slot = 0;
  int32_t index = 0;  // output index
  int32_t token_id = 0;
  FinishReason finish = FinishReason::kNone;
  int32_t cached_tokens = 0;  // prompt tokens taken from the prefix cache at first admission
};

struct SchedulerStats {
  int32_t num_running = 0;
  int32_t num_waiting = 0;
  int64_t num_free_blocks = 0;  // free or evictable
  int64_t num_preemptions = 0;
  int64_t prefix_cache_queries = 0;  // tokens
  int64_t prefix_cache_hits = 0;     // tokens
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerConfig& config);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // INVALID_ARGUMENT naming the field where the request can never run: empty prompt, token out of
  // range, prompt + max_tokens beyond max_model_len or beyond the whole pool, duplicate id.
  Status Add(EngineRequest request);
  // The request is absent from the next plan; its blocks are free once the plan in flight is
  // committed. False: unknown or finished.
  bool Cancel(uint64_t request);
  bool HasWork() const;
  // The next plan; no work and no inits when nothing can run. At most one plan is in flight.
  StepPlan Schedule();
  // Which request holds a slot of the plan in flight; 0: none.
  uint64_t RequestInSlot(int32_t slot) const;
  // The plan in flight has run. Appends tokens, finishes sequences, publishes full blocks to the
  // prefix cache. Tokens of requests cancelled meanwhile are dropped.
  std::vector<TokenOutput> Commit(const std::vector<SampledToken>& samples);
  SchedulerStats stats() const;

 private:
  friend class SchedulerPeer;  // of the tests, which look at the invariants inside
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace phalanx
