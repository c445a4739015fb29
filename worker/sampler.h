// Chooses the next token of every sampled sequence from vocabulary shards, the same on every rank.
//
// Order, as transformers applies it: logit_bias, repetition penalty (prompt and output), frequency
// and presence penalties (output), bans (allowed ids, bad words, min_tokens) -> temperature ->
// top-k -> top-p -> min-p -> sample. Penalties and bans are applied on each shard; then each rank
// reduces its columns to candidates (kernels/candidates.h), all ranks gather all candidates and run
// the same final step. A full row is gathered only where a top-p mass lies beyond the gathered
// candidates. Log-probabilities are of the raw logits.
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

namespace phalanx {

struct TokenAlternative {
  int32_t token_id = 0;
  float logprob = 0;
};

struct TokenLogprobs {
  int32_t token_id = 0;
  float logprob = 0;
  int64_t rank = 0;  // 1: the most likely; 0: beyond the gathered candidates
  std::vector<TokenAlternative> top;
};

struct SampleResult {
  int32_t slot = 0;
  int32_t token_id = -1;   // -1: Sample::kNo
  TokenLogprobs logprobs;  // where params.logprobs >= 0
  std::vector<TokenLogprobs>
      prompt;     // one per prompt position whose logits were asked for, where prompt_logprobs >= 0
  Status status;  // NaN logits end this request with INTERNAL, the others go on
};

class Sampler {
 public:
  static std::unique_ptr<Sampler> Create(int32_t max_num_seqs, int64_t vocab_size,
                                         const ShardSpec& shard, Backend& backend,
                                         Communicator& communicator);
  virtual ~Sampler() = default;

  // Places a sequence in a slot: parameters and what it has seen.
  virtual void InitSlot(const SlotInit& init) = 0;
  virtual int32_t LastSample(int32_t slot) const = 0;

  // `logits`: [number of logit offsets in the plan, vocab_local], in plan order; may be modified.
  // One result per work with logit offsets, in plan order. Appends each sampled token to its slot's
  // state.
  virtual StatusOr<std::vector<SampleResult>> Sample(const StepPlan& plan,
                                                     const TensorView& logits) = 0;
};

}  // namespace phalanx
