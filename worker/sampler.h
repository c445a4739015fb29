// Chooses the next token of every sampled sequence from vocabulary shards, the same on every rank.
//
// Order, as transformers applies it: logit_bias, repetition penalty (prompt and output), frequency
// and presence penalties (output), bans (allowed ids, bad words, min_tokens) -> temperature ->
// top-k -> top-p -> min-p -> sample. Adjustments are applied on each shard (worker/slot_state.h);
// then each rank reduces its columns to candidates (kernels/candidates.h), all ranks gather all
// candidates in one AllGather per step and run the same final step (worker/token_filter.h).
//
//   greedy          one candidate a shard
//   no filter       Gumbel argmax of each shard: an exact sample with nothing else to gather
//   min-p alone     the same, after a first AllGather of maxima
//   top-k           k candidates a shard
//   top-p           top_p_candidates a shard and the mass of the whole vocabulary; a second
//                   AllGather of the full row only where the mass lies beyond these candidates
//
// Log-probabilities are of the raw logits, before adjustments and temperature. Where logits tie at
// the edge of a filter, lower ids stay.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/status.h"
#include "parallel/communicator.h"
#include "parallel/shard_spec.h"
#include "worker/step_plan.h"
#include "worker/token_masks.h"

namespace phalanx {

struct TokenAlternative {
  int32_t token_id = 0;
  float logprob = 0;
};

struct TokenLogprobs {
  int32_t token_id = 0;
  float logprob = 0;
  int64_t rank = 0;  // 1: the most likely; 0: beyond the kMaxLogprobs most likely ones
  std::vector<TokenAlternative> top;
};

struct SampleResult {
  int32_t slot = 0;
  int32_t token_id = -1;   // -1: Sample::kNo
  TokenLogprobs logprobs;  // where params.logprobs >= 0
  std::vector<TokenLogprobs>
      prompt;     // one per prompt position whose logits were asked for, where prompt_logprobs >= 0
  Status status;  // INTERNAL: NaN logits; INVALID_ARGUMENT: bans left no token. Only this request
                  // ends, the others go on
};

struct SamplerOptions {
  int32_t max_num_seqs = 0;
  int64_t vocab_size = 0;
  int32_t top_p_candidates = kTopPCandidates;  // per shard; equal on all ranks
  // [at least as many rows as a step samples, vocab_local] f32 in the backend's memory: raw logits
  // of adjusted rows whose log-probabilities are asked for. It outlives the sampler.
  TensorView kept_logits{};
};

class Sampler {
 public:
  // Backend and communicator must outlive the sampler.
  static std::unique_ptr<Sampler> Create(const SamplerOptions& options, const ShardSpec& shard,
                                         Backend& backend, Communicator& communicator);
  virtual ~Sampler() = default;

  // Places a sequence in a slot: parameters and what it has seen.
  virtual void InitSlot(const SlotInit& init) = 0;
  // Takes up the tokens of its output that the work forces; once, before NumMasks and Sample.
  virtual void TakeForced(const SequenceWork& work) = 0;
  virtual int32_t LastSample(int32_t slot) const = 0;
  // How many rows of masks Sample needs for the plan, whose slots are placed.
  virtual size_t NumMasks(const StepPlan& plan) const = 0;

  // `logits`: [number of logit offsets in the plan, vocab_local] f32 in the backend's memory, in
  // plan order; modified. One result per work with logit offsets, in plan order. Appends each
  // sampled token to its slot's state. `masks`: a row for each sequence that is sampled under
  // Constraint::kMask, in plan order. Errors are the communicator's and the backend's.
  virtual StatusOr<std::vector<SampleResult>> Sample(const StepPlan& plan, const TensorView& logits,
                                                     const TokenMasks& masks) = 0;
};

}  // namespace phalanx
