// The scheduler's state. scheduler.cc holds a request's life, scheduler_step.cc how a step is made,
// scheduler_shares.cc who makes way for whom.
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

#include "worker/scheduler.h"
#include "worker/sequence.h"
#include "worker/sequence_blocks.h"
#include "worker/waiting_queue.h"

namespace phalanx {

// What a step may still hold.
struct StepRows {
  int32_t tokens = 0;
  int32_t logits = 0;
};

// What those of one share have.
struct ShareUse {
  int32_t num_sequences = 0;
  int32_t num_running = 0;  // of these
  int64_t num_tokens = 0;   // that steps computed for it, see JoinShare
};

struct Scheduler::Impl {
  explicit Impl(const SchedulerConfig& scheduler_config);

  Status CheckRequest(const EngineRequest& request) const;
  Status Add(EngineRequest request);
  bool Cancel(uint64_t request);
  std::vector<TokenOutput> Commit(const std::vector<SampledToken>& samples);
  TokenOutput AppendForced(uint64_t request, int32_t token_id);
  TokenOutput AppendSample(Sequence& sequence, int32_t token_id);
  // Ends the sequence, which is gone then, or lets it go on.
  TokenOutput AppendToken(Sequence& sequence, int32_t token_id);
  FinishReason ReasonToFinish(const Sequence& sequence, int32_t token_id) const;
  // It does not run any more.
  void Leave(Sequence& sequence);
  // Gives back slot and blocks.
  void Vacate(Sequence& sequence);

  StepPlan Schedule();
  void ScheduleDecode(Sequence& sequence);
  void SchedulePrefill(Sequence& sequence);
  bool HasPlace() const { return std::ssize(running) < most_running; }
  // Blocks that are there besides what the running sequences will need soon.
  int64_t SpareBlocks() const;
  // False: the next one has a place and waits for blocks.
  bool AdmitWaiting();
  void Admit(Sequence& sequence, const PrefixMatch& match);
  // How many tokens after `num_computed` a prefill chunk may take, blocks aside.
  int32_t ChunkTokens(const Sequence& sequence, int32_t num_computed) const;
  int32_t NumLogits(const Sequence& sequence, int32_t num_computed, int32_t num_tokens) const;
  // Finds blocks for up to `num_tokens` more, at the expense of later sequences where there are
  // none at all; how many have room. 0: the sequence sits this step out and keeps its blocks.
  int32_t GrantTokens(Sequence& sequence, int32_t num_tokens);
  void Preempt(Sequence& sequence);

  // Makes the first sequence with a claim that can have a place and blocks due, if need be at the
  // expense of others.
  void MakeWay();
  // Who has to go for that; nothing where it would lose its claim first.
  std::optional<std::vector<Sequence*>> InTheWayOf(Sequence& claimant) const;
  std::vector<uint64_t> SharesWithClaims() const;
  Sequence* NextToAdmit() const;
  void JoinShare(uint64_t share);
  void LeaveShare(uint64_t share);

  // How many logit rows it takes.
  int32_t ScheduleTokens(Sequence& sequence, int32_t num_tokens);
  void ScheduleChunk(Sequence& sequence, int32_t num_tokens);
  StepPlan MakePlan();

  const SchedulerConfig config;
  SequenceBlocks blocks;
  WaitingQueue waiting;
  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences;
  std::vector<Sequence*> running;       // in order
  int32_t most_running;                 // those that start while fewer run
  std::map<uint64_t, ShareUse> shares;  // all that ever came: as many as the service has keys
  int64_t tokens_of_last_share = 0;     // of that one whose last sequence ended last
  Sequence* due = nullptr;              // waits, is next, and has a place where it finds blocks
  std::vector<Sequence*> slots;         // [max_num_seqs], null where free
  std::priority_queue<int32_t, std::vector<int32_t>, std::greater<>> free_slots;
  std::vector<Sequence*> in_flight;                  // in plan order
  std::vector<std::unique_ptr<Sequence>> cancelled;  // in the plan in flight

  StepRows left;                  // of the step being made
  StepRows prefill_left;          // how much of it prefill may take
  int64_t preempted_at_step = 0;  // the last step that preempted
  bool waits_for_blocks = false;  // as of the last step: the next one, although it has a place
  int64_t step = 0;               // Schedule() calls
  uint64_t plan_step = 0;         // plans with work
  uint64_t num_arrivals = 0;
  SchedulerStats counters;
};

}  // namespace phalanx
