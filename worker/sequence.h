// A request inside the scheduler.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "worker/block_manager.h"
#include "worker/sampling_params.h"

namespace phalanx {

// Who goes first; smaller is earlier. It never changes, so the first of all sequences stays first
// until it is done.
struct QueueOrder {
  int64_t rank =
      0;  // fair_start under fcfs; priority * aging_steps + step of arrival under priority
  uint64_t arrival = 0;  // counts requests
  auto operator<=>(const QueueOrder&) const = default;
};

struct Sequence {
  uint64_t id = 0;
  uint64_t group = 0;
  QueueOrder order;
  uint64_t share = 0;  // see EngineRequest; 0 under kPriority
  SamplingParams params;
  std::string cache_salt;

  std::vector<int32_t> tokens;  // prompt, then output so far
  int32_t num_prompt = 0;

  // KV cache. Empty and 0 while the sequence waits.
  std::vector<int32_t> block_table;
  int32_t num_computed = 0;               // tokens whose KV is in the blocks
  int32_t num_shared_blocks = 0;          // leading blocks that are in the prefix cache
  ContentId last_content = kRootContent;  // of the last of them; kNoContent: publish no more
  std::vector<uint64_t> block_hashes;     // of leading full blocks, computed on demand

  int32_t slot = -1;             // -1: waiting
  bool slot_is_ready = false;    // the ranks know the slot's parameters
  bool slot_has_sample = false;  // and the last of `tokens` is what they sampled last
  int32_t num_told = 0;          // leading tokens that they know

  int32_t num_scheduled = 0;  // tokens in the plan being made or in flight
  int64_t last_scheduled_step = 0;
  bool is_cancelled = false;       // in the plan in flight and of no further interest
  int32_t num_cached_prompt = -1;  // at first admission; -1: before

  int32_t num_tokens() const { return static_cast<int32_t>(tokens.size()); }
  int32_t num_emitted() const { return num_tokens() - num_prompt; }
  bool is_running() const { return slot >= 0; }
  bool is_decode() const { return slot_has_sample && num_computed + 1 == num_tokens(); }
  // Prompt log-probabilities travel with the first token, so later recomputation needs none.
  bool needs_prompt_logits() const {
    return params.prompt_logprobs >= 0 && num_tokens() == num_prompt;
  }
};

}  // namespace phalanx
