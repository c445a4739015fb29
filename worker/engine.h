// The step loop of a rank group, without any network: rank 0 submits, cancels and steps; the others
// follow.
//
// One step: rank 0 schedules, encodes the plan and broadcasts it; every rank decodes, validates,
// runs the forward pass on it and samples the same tokens; rank 0 commits them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/base/status.h"
#include "model/model.h"
#include "parallel/liveness.h"
#include "worker/sampler.h"
#include "worker/scheduler.h"
#include "worker/step_deadline.h"

namespace phalanx {

struct EngineOptions {
  SchedulerConfig scheduler;                   // limits agreed by all ranks
  int32_t top_p_candidates = kTopPCandidates;  // SamplerOptions
  double max_token_slowdown = 0;               // StepCost
  // Where this rank publishes what it does, and how long that may take. It must outlive the engine.
  const LivenessBoard* board = nullptr;  // null: nobody watches
  StepDeadline deadline;
};

struct EngineOutput {
  TokenOutput token;
  TokenLogprobs logprobs;  // where asked for
  // Where asked for, with the first token that this engine made: one for each prompt token. The
  // first prompt token follows nothing and has logprob 0, rank 0 and no alternatives.
  std::vector<TokenLogprobs> prompt;
  Status status;  // not OK: the request failed and ended; the token is not valid
  // With the first token that this engine made: from Submit, and EngineRequest::waited before it,
  // to the first step that ran the request, and from there to the token.
  int64_t queue_ns = 0;
  int64_t prefill_ns = 0;
};

class Engine {
 public:
  // Model (with its KV cache), backend and communicator must outlive the engine.
  static std::unique_ptr<Engine> Create(const EngineOptions& options, Qwen2Model& model,
                                        Backend& backend, Communicator& communicator);
  virtual ~Engine() = default;

  // All ranks, before the first request: runs a small prefill and a decode step and forgets them,
  // so that the first request does not pay for first touches. Scheduler, prefix cache and
  // statistics know nothing of it.
  virtual Status WarmUp() = 0;

  // Rank 0 only; one thread.
  virtual Status Submit(EngineRequest request) = 0;
  virtual bool Cancel(uint64_t request) = 0;
  virtual bool HasWork() const = 0;
  // Plans, broadcasts and runs one step; what it produced. An error ends the group.
  virtual StatusOr<std::vector<EngineOutput>> Step() = 0;
  virtual Status Heartbeat() = 0;  // an empty plan, once a second while idle
  virtual Status Shutdown() = 0;  // lets Follow() return on the other ranks; it may be called again
  virtual SchedulerStats stats() const = 0;
  virtual uint64_t last_step() const = 0;

  // Ranks 1..N-1: runs plans until shutdown.
  virtual Status Follow() = 0;
};

}  // namespace phalanx
