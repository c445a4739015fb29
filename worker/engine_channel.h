// Rank 0's side of the engine channel: registers with the coordinator, takes its requests and
// reports tokens.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>

#include "kernels/base/status.h"
#include "worker/engine.h"
#include "worker/grammar_loader.h"

namespace phalanx {

// Where the coordinator listens and what it is told about the group.
struct EngineChannelOptions {
  std::filesystem::path socket;  // the token lies in SOCKET.token
  std::string version;
  int num_ranks = 1;
  std::string device;
  std::string isa;
  std::string dtype;
  std::string numerics_id;
  PlanLimits limits;
  SchedulingPolicy policy = SchedulingPolicy::kFcfs;
  const LivenessBoard* board = nullptr;            // of this host's ranks; null: none is reported
  std::chrono::milliseconds step_timeout{60'000};  // HealthPulseOptions
  GrammarCompilerFactory make_grammar_compiler;    // called on a thread of its own
};

// Runs until the coordinator has drained the group or `stop_requested` is set and admitted requests
// are done (OK), or until the channel or the group breaks. Lets the other ranks go before it
// returns; sends heartbeats while it waits for the coordinator. Rank 0 only.
Status ServeEngine(const EngineChannelOptions& options, Engine& engine,
                   const std::atomic<bool>& stop_requested);

}  // namespace phalanx
