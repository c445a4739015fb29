#include "worker/slot_state.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

void SortUnique(std::vector<int32_t>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

void SlotState::Init(const SlotInit& init) {
  params_ = init.params;
  prompt_ids_.clear();
  output_ids_.clear();
  tokens_.clear();
  by_id_.clear();
  changed_.clear();
  if (params_.prompt_logprobs >= 0) prompt_ids_ = init.prompt_ids;
  for (const auto& [id, bias] : params_.logit_bias) {
    TokenAdjustment& token = Change(id);
    token.bias = bias;
    token.has_bias = TokenAdjustment::Bias::kAdded;
  }
  if (params_.repetition_penalty != 1.0F) {
    std::vector<int32_t> ids = init.prompt_ids;
    SortUnique(ids);
    for (const int32_t id : ids) Change(id).seen = TokenAdjustment::Seen::kYes;
  }
  for (const int32_t id : init.emitted_ids) Append(id);
  last_sample_ = init.emitted_ids.empty() ? -1 : init.emitted_ids.back();
}

TokenAdjustment& SlotState::Change(int32_t token_id) {
  const auto id_of = [&](int32_t index) { return tokens_[static_cast<size_t>(index)].id; };
  const auto at = std::ranges::lower_bound(by_id_, token_id, {}, id_of);
  int32_t index;
  if (at != by_id_.end() && id_of(*at) == token_id) {
    index = *at;
  } else {
    index = static_cast<int32_t>(tokens_.size());
    by_id_.insert(at, index);
    tokens_.push_back({.id = token_id});
  }
  changed_.push_back(index);
  return tokens_[static_cast<size_t>(index)];
}

void SlotState::Append(int32_t token_id) {
  last_sample_ = token_id;
  output_ids_.push_back(token_id);
  if (!PenalizesOutput()) return;
  TokenAdjustment& token = Change(token_id);
  ++token.count;
  token.seen = TokenAdjustment::Seen::kYes;
}

bool SlotState::PenalizesOutput() const {
  return params_.repetition_penalty != 1.0F || params_.frequency_penalty != 0.0F ||
         params_.presence_penalty != 0.0F;
}

bool SlotState::HasAdjustments() const {
  return !params_.logit_bias.empty() || PenalizesOutput() || !params_.allowed_token_ids.empty() ||
         !params_.bad_words.empty() || output_index() < params_.min_tokens ||
         params_.constraint == Constraint::kMask;
}

void SlotState::CollectBans() {
  bans_.clear();
  for (const std::vector<int32_t>& word : params_.bad_words) {
    if (word.empty() || word.size() - 1 > output_ids_.size()) continue;
    const auto prefix_length = static_cast<std::ptrdiff_t>(word.size() - 1);
    if (std::equal(word.begin(), word.end() - 1, output_ids_.end() - prefix_length)) {
      bans_.push_back(word.back());
    }
  }
  if (output_index() < params_.min_tokens) {
    bans_.insert(bans_.end(), params_.eos_token_ids.begin(), params_.eos_token_ids.end());
    bans_.insert(bans_.end(), params_.stop_token_ids.begin(), params_.stop_token_ids.end());
  }
  SortUnique(bans_);
}

// What is both allowed and in the mask.
std::span<const uint32_t> SlotState::CombineMasks(int64_t vocab_size,
                                                  std::span<const uint32_t> mask) {
  const bool is_masked = params_.constraint == Constraint::kMask;
  if (params_.allowed_token_ids.empty()) return is_masked ? mask : std::span<const uint32_t>();
  mask_.assign(static_cast<size_t>((vocab_size + 31) / 32), 0);
  for (const int32_t id : params_.allowed_token_ids) {
    mask_[static_cast<size_t>(id / 32)] |= uint32_t{1} << (id % 32);
  }
  if (is_masked) {
    PHALANX_CHECK_GE(mask.size(), mask_.size());
    for (size_t i = 0; i < mask_.size(); ++i) mask_[i] &= mask[i];
  }
  return mask_;
}

RowAdjustment SlotState::Adjustment(int64_t vocab_size, std::span<const uint32_t> mask) {
  sent_.swap(changed_);
  changed_.clear();
  SortUnique(sent_);
  CollectBans();
  return {.tokens = tokens_,
          .changed = sent_,
          .repetition_penalty = params_.repetition_penalty,
          .frequency_penalty = params_.frequency_penalty,
          .presence_penalty = params_.presence_penalty,
          .mask = CombineMasks(vocab_size, mask),
          .bans = bans_};
}

}  // namespace phalanx
