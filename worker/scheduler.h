// Continuous batching with chunked prefill (Yu et al. 2022, Orca; Agrawal et al. 2024,
// Sarathi-Serve). Lives on rank 0 and is pure: no clock, no I/O, no device; the caller passes what
// happened and gets the next plan.
//
// Each Schedule() call first continues running sequences (decode tokens first, then prefill
// chunks), then admits waiting ones, under a budget of max_num_tokens rows. A waiting sequence is
// admitted when all its known tokens find blocks besides what the running ones need soon, and no
// more run than LimitRunning() says. When blocks run out all the same, the last running sequence in
// order is preempted: its blocks are freed and it waits, in its place of the order, to be
// recomputed from prompt + emitted tokens.
//
// Those who share the service share its places. Under kFcfs a waiting sequence whose share has at
// least two fewer running than another, and no more tokens behind it, has a claim: it is next, and
// where it finds no place or too few blocks, the last sequences of the share with the most running
// make way for it, as long as it still has its claim then (max-min fairness, Bertsekas and Gallager
// 1992; tokens counted as by Sheng et al. 2024, Fairness in Serving Large Language Models). So long
// answers of one do not keep the others waiting, and a share alone has all places.
//
// Nobody starves. All sequences have one order that never changes: under kFcfs the virtual time at
// which each is due (equal where nobody shares), then arrival; under kPriority a level of priority
// is worth `aging_steps` steps of earlier arrival. Admission follows it, claims aside. For want of
// blocks only later sequences are preempted, and for a claim never the first of a share: the first
// of all always goes on.
// Decodes that would fill a step leave prefill a quarter and take turns in the rest; a long prompt
// only gets what decodes leave.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"
#include "worker/step_plan.h"
#include "worker/step_tokens.h"

namespace phalanx {

class CompiledGrammar;

enum class SchedulingPolicy : uint8_t { kFcfs, kPriority };
enum class PrefixCaching : uint8_t { kOff, kOn };

struct SchedulerConfig {
  PlanLimits limits;
  SchedulingPolicy policy = SchedulingPolicy::kFcfs;
  PrefixCaching prefix_caching = PrefixCaching::kOn;
  int32_t max_num_logit_rows = 64;  // a step's rows with logits
  int64_t aging_steps = 64;         // > 0
};

struct EngineRequest {
  uint64_t id = 0;
  uint64_t group = 0;  // choices of one request share it, and so, through the prefix cache, their
                       // full prompt blocks: the first one runs its prompt before the others start;
                       // 0: none
  std::vector<int32_t> prompt_ids;
  std::vector<int32_t> emitted_ids;  // replayed output; not reported again
  SamplingParams params;
  int32_t priority = 0;    // lower first, under kPriority
  int64_t fair_start = 0;  // lower first, under kFcfs: between those who share a service
  uint64_t share = 0;      // whose it is of those; 0: nobody's, and it has no claims
  std::string cache_salt;  // sequences share blocks only under equal salts
  // What the output must fit; null: anything. The engine's concern, not the scheduler's.
  std::shared_ptr<const CompiledGrammar> grammar;
  // How long it has waited for that. The engine's concern, too.
  std::chrono::nanoseconds waited{0};
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
  // That run at most as things are: the limit, or where the next one that waits would have a place
  // and finds no room in the pool, those that run.
  int32_t num_places = 0;
  int64_t num_free_blocks = 0;       // free or evictable
  int64_t num_cached_blocks = 0;     // of these, evictable: they keep prefixes
  int64_t num_preemptions = 0;       // for want of blocks
  int64_t num_made_way = 0;          // for the claim of another share
  int64_t prefix_cache_queries = 0;  // tokens
  int64_t prefix_cache_hits = 0;     // tokens
  StepTokens step_tokens{};
};

class Scheduler {
 public:
  explicit Scheduler(const SchedulerConfig& config);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // INVALID_ARGUMENT naming the field where the request can never run: empty prompt, token out of
  // range, prompt + max_tokens beyond max_model_len or beyond the whole pool, an id that is 0 or in
  // use, parameters that Validate() refuses.
  Status Add(EngineRequest request);
  // The request is absent from the next plan; its blocks are free once the plan in flight is
  // committed. False: unknown or finished.
  bool Cancel(uint64_t request);
  bool HasWork() const;
  // How many sequences may run at once, at least one; at first, and at most, as many as there are
  // slots. Those that run beyond it go on, and nobody joins them.
  void LimitRunning(int32_t most);
  // The next plan; no work and no inits, and then nothing to commit, when there are no requests. At
  // most one plan is in flight.
  //
  // Where prompt_logprobs are asked for and no token is out yet, every chunk asks for the logits of
  // all its tokens. A preemption before the first token makes them come again, from position 0,
  // after a new SlotInit.
  StepPlan Schedule();
  // Which request holds a slot, until Commit() also one cancelled while in flight; 0: none.
  uint64_t RequestInSlot(int32_t slot) const;
  // The plan in flight has run. Appends tokens, finishes sequences, publishes full blocks to the
  // prefix cache. One sample for every work with Sample::kLast, also for requests cancelled
  // meanwhile, whose tokens are dropped and may be anything.
  std::vector<TokenOutput> Commit(const std::vector<SampledToken>& samples);
  // A running request's next token is known without the model. Between Commit() and Schedule();
  // the request has not finished. The next plans run it with the tokens around it as a chunk.
  TokenOutput Append(uint64_t request, int32_t token_id);
  SchedulerStats stats() const;

 private:
  friend class SchedulerPeer;  // of the tests, which look at the invariants inside
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace phalanx
