// What a sequence has seen, kept on every rank, and how it changes the sequence's next logits.
//
// Adjustments, in transformers' order (kernels/adjust_logits.h):
//   logit_bias; the repetition penalty, for ids of the prompt or the output; frequency and presence
//   penalties, for ids of the output; then -inf for ids outside allowed_token_ids or the step's
//   mask, ids that would complete one of bad_words after the output so far, and, before min_tokens,
//   eos and stop ids
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/adjust_logits.h"
#include "worker/sampling_params.h"
#include "worker/step_plan.h"

namespace phalanx {

class SlotState {
 public:
  void Init(const SlotInit& init);
  void Append(int32_t token_id);

  const SamplingParams& params() const { return params_; }
  int32_t last_sample() const { return last_sample_; }
  int32_t output_index() const { return static_cast<int32_t>(output_ids_.size()); }
  // The prompt, kept only where prompt_logprobs are asked for.
  std::span<const int32_t> prompt_ids() const { return prompt_ids_; }

  // Whether an adjustment would change anything now.
  bool HasAdjustments() const;
  // All of an adjustment but its rows; once for each that is made. `mask`: of the whole vocabulary,
  // where params().constraint is kMask. What it refers to is the slot's or `mask`, valid until the
  // slot changes.
  RowAdjustment Adjustment(int64_t vocab_size, std::span<const uint32_t> mask);

 private:
  bool PenalizesOutput() const;
  // The token's entry, made where there is none; it counts as changed.
  TokenAdjustment& Change(int32_t token_id);
  std::span<const uint32_t> CombineMasks(int64_t vocab_size, std::span<const uint32_t> mask);
  void CollectBans();

  SamplingParams params_;
  std::vector<int32_t> prompt_ids_;
  std::vector<int32_t> output_ids_;
  std::vector<TokenAdjustment> tokens_;  // in the order in which they came up
  std::vector<int32_t> by_id_;           // indices into tokens_, ascending ids
  std::vector<int32_t> changed_;  // indices into tokens_ since the last adjustment, any order
  // The last adjustment's.
  std::vector<int32_t> sent_;
  std::vector<uint32_t> mask_;
  std::vector<int32_t> bans_;
  int32_t last_sample_ = -1;
};

}  // namespace phalanx
