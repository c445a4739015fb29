// What a sequence has seen, kept on every rank, and how it changes the sequence's next logits.
//
// Adjustments, in transformers' order, on the columns that this rank holds:
//   l[id] += logit_bias[id]
//   l[id]  = l[id] < 0 ? l[id] * r : l[id] / r    for ids of the prompt or the output (Keskar 2019)
//   l[id] -= frequency_penalty * count[id] + presence_penalty   for ids of the output
//   after each of these, a finite l[id] is clamped to +-1e30, so that it stays finite
//   l[id]  = -inf    for ids outside allowed_token_ids or the step's mask, ids that would complete
//                    one of bad_words after the output so far, and, before min_tokens, eos and stop
//                    ids
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "parallel/shard_spec.h"
#include "worker/sampling_params.h"
#include "worker/step_plan.h"

namespace phalanx {

// A raw logit that an adjustment has overwritten.
struct RawLogit {
  int32_t id = 0;
  float logit = 0.0F;
};

class SlotState {
 public:
  void Init(const SlotInit& init);
  void Append(int32_t token_id);

  const SamplingParams& params() const { return params_; }
  int32_t last_sample() const { return last_sample_; }
  int32_t output_index() const { return static_cast<int32_t>(output_ids_.size()); }
  // The prompt, kept only where prompt_logprobs are asked for.
  std::span<const int32_t> prompt_ids() const { return prompt_ids_; }

  // Whether Adjust would change anything now.
  bool HasAdjustments() const;
  // `row`: logits of the tokens in `vocab`, [vocab.size()]. `mask`: of the whole vocabulary, where
  // params().constraint is kMask. Afterwards `overwritten`, ascending by
  // id, holds the raw logit of every changed token that can still be chosen.
  void Adjust(Range vocab, std::span<const uint32_t> mask, std::span<float> row,
              std::vector<RawLogit>& overwritten);

 private:
  bool PenalizesOutput() const;
  void CollectBans();

  SamplingParams params_;
  std::vector<int32_t> prompt_ids_;
  std::vector<int32_t> prompt_set_;  // ascending, unique; kept for the repetition penalty
  std::vector<int32_t> output_ids_;
  std::vector<std::pair<int32_t, int32_t>> output_counts_;  // ascending (id, count)
  std::vector<int32_t> bans_;                               // scratch
  int32_t last_sample_ = -1;
};

}  // namespace phalanx
