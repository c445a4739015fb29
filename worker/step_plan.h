// What all ranks do in one step: plain data made by rank 0's scheduler, broadcast, validated on
// every rank.
//
// A slot is a persistent row of per-sequence sampling state that every rank keeps (what has been
// seen, parameters). SlotInit is sent when a sequence enters a slot; from then on each rank samples
// the same token itself, so nothing but new work is sent. An input token is a literal id or
// kLastSample, the last token sampled for the slot.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"
#include "worker/sampling_params.h"

namespace phalanx {

inline constexpr int32_t kLastSample = -1;

// A sequence enters a slot (first admission, or again after a preemption).
struct SlotInit {
  int32_t slot = 0;
  SamplingParams params;
  std::vector<int32_t> prompt_ids;   // for the repetition penalty
  std::vector<int32_t> emitted_ids;  // output so far; the next output index is emitted_ids.size()
  bool operator==(const SlotInit&) const = default;
};

// A run of consecutive new tokens of one sequence: a prefill chunk or one decode token.
struct SequenceWork {
  int32_t slot = 0;
  int32_t start_position = 0;   // absolute position of tokens[0]
  std::vector<int32_t> tokens;  // literal ids; kLastSample allowed as the last one only
  // So many of `tokens`, the last ones, continue the output without having been sampled: the slot
  // takes them up before anything else.
  int32_t num_forced = 0;
  std::vector<int32_t>
      block_table;  // all blocks of the sequence, covering start_position + tokens.size()
  std::vector<int32_t> logit_offsets;  // offsets into tokens whose logits are needed, ascending
  enum class Sample : uint8_t {
    kNo,    // more of the prompt follows
    kLast,  // sample from the last of logit_offsets, which is tokens.size() - 1
  } sample = Sample::kNo;
  bool operator==(const SequenceWork&) const = default;
};

struct StepPlan {
  enum class Kind : uint8_t { kRun, kHeartbeat, kShutdown } kind = Kind::kRun;
  uint64_t step = 0;  // rises by one
  std::vector<SlotInit> inits;
  std::vector<SequenceWork> work;
  bool operator==(const StepPlan&) const = default;
};

// Bounds that a plan must keep; equal on all ranks.
struct PlanLimits {
  int32_t max_num_seqs = 0;
  int32_t max_num_tokens = 0;
  int32_t max_model_len = 0;
  int32_t vocab_size = 0;
  int32_t block_size = 0;
  int64_t num_blocks = 0;
};

// Every id, slot, position, block and offset in range; no slot twice. The error names the field and
// value.
Status Validate(const StepPlan& plan, const PlanLimits& limits);

// Compact little-endian encoding; Decode never reads out of bounds and refuses trailing bytes.
std::string Encode(const StepPlan& plan);
StatusOr<StepPlan> Decode(std::string_view bytes);

}  // namespace phalanx
