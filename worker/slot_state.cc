#include "worker/slot_state.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

// Far beyond any logit, and still finite in float32 over the lowest temperature (1e-5): extreme
// parameters decide between tokens and never make infinities or NaN.
constexpr float kLargestAdjusted = 1e30F;

// What `adjusted` becomes; a logit that the model itself made infinite or NaN stays so.
float Bounded(float logit, float adjusted) {
  if (!std::isfinite(logit)) return logit;
  return std::clamp(adjusted, -kLargestAdjusted, kLargestAdjusted);
}

float Repeated(float logit, float penalty) {
  return Bounded(logit, logit < 0.0F ? logit * penalty : logit / penalty);
}

// Bans the columns of `vocab` whose bits in `mask` are clear. Most of a word's bits are usually
// equal.
void CloseMasked(std::span<const uint32_t> mask, Range vocab, std::span<float> row) {
  constexpr int64_t kBits = 32;
  PHALANX_CHECK_GE(static_cast<int64_t>(mask.size()) * kBits, vocab.end);
  for (int64_t id = vocab.begin; id < vocab.end;) {
    const uint32_t word = mask[static_cast<size_t>(id / kBits)];
    const int64_t end = std::min((id / kBits + 1) * kBits, vocab.end);
    if (word == 0) {
      std::fill(row.begin() + (id - vocab.begin), row.begin() + (end - vocab.begin), kBanned);
    } else if (word != ~uint32_t{0}) {
      for (int64_t i = id; i < end; ++i) {
        if ((word >> (i % kBits) & 1) == 0) row[static_cast<size_t>(i - vocab.begin)] = kBanned;
      }
    }
    id = end;
  }
}

void SortUnique(std::vector<int32_t>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

}  // namespace

void SlotState::Init(const SlotInit& init) {
  params_ = init.params;
  prompt_ids_.clear();
  prompt_set_.clear();
  output_ids_.clear();
  output_counts_.clear();
  if (params_.prompt_logprobs >= 0) prompt_ids_ = init.prompt_ids;
  if (params_.repetition_penalty != 1.0F) {
    prompt_set_ = init.prompt_ids;
    SortUnique(prompt_set_);
  }
  for (const int32_t id : init.emitted_ids) Append(id);
  last_sample_ = init.emitted_ids.empty() ? -1 : init.emitted_ids.back();
}

void SlotState::Append(int32_t token_id) {
  last_sample_ = token_id;
  output_ids_.push_back(token_id);
  if (!PenalizesOutput()) return;
  const auto at =
      std::lower_bound(output_counts_.begin(), output_counts_.end(), std::pair(token_id, 0));
  if (at != output_counts_.end() && at->first == token_id) {
    ++at->second;
  } else {
    output_counts_.insert(at, {token_id, 1});
  }
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
}

void SlotState::Adjust(Range vocab, std::span<const uint32_t> mask, std::span<float> row,
                       std::vector<RawLogit>& overwritten) {
  PHALANX_CHECK_EQ(static_cast<int64_t>(row.size()), vocab.size());
  overwritten.clear();
  const auto local = [&](int32_t id) { return id >= vocab.begin && id < vocab.end; };
  const auto at = [&](int32_t id) -> float& { return row[static_cast<size_t>(id - vocab.begin)]; };
  const auto remember = [&](int32_t id) {
    if (local(id)) overwritten.push_back({id, at(id)});
  };
  for (const auto& [id, bias] : params_.logit_bias) remember(id);
  for (const int32_t id : prompt_set_) remember(id);
  for (const auto& [id, count] : output_counts_) remember(id);
  for (const int32_t id : params_.allowed_token_ids) remember(id);
  // Every duplicate was read before anything is written, so whichever stays is the raw logit.
  const auto by_id = [](const RawLogit& a, const RawLogit& b) { return a.id < b.id; };
  std::sort(overwritten.begin(), overwritten.end(), by_id);
  overwritten.erase(std::unique(overwritten.begin(), overwritten.end(),
                                [](const RawLogit& a, const RawLogit& b) { return a.id == b.id; }),
                    overwritten.end());

  for (const auto& [id, bias] : params_.logit_bias) {
    if (local(id)) at(id) = Bounded(at(id), at(id) + bias);
  }
  if (params_.repetition_penalty != 1.0F) {
    for (const int32_t id : prompt_set_) {
      if (local(id)) at(id) = Repeated(at(id), params_.repetition_penalty);
    }
    for (const auto& [id, count] : output_counts_) {
      if (!local(id) || std::binary_search(prompt_set_.begin(), prompt_set_.end(), id)) continue;
      at(id) = Repeated(at(id), params_.repetition_penalty);
    }
  }
  for (const auto& [id, count] : output_counts_) {
    if (!local(id)) continue;
    const float frequency = params_.frequency_penalty * static_cast<float>(count);
    at(id) = Bounded(at(id), at(id) - frequency);
    at(id) = Bounded(at(id), at(id) - params_.presence_penalty);
  }
  if (!params_.allowed_token_ids.empty()) {
    // Columns between one allowed id and the next are closed; the list ascends.
    int64_t next = vocab.begin;
    for (const int32_t id : params_.allowed_token_ids) {
      if (!local(id)) continue;
      for (int64_t banned = next; banned < id; ++banned) at(static_cast<int32_t>(banned)) = kBanned;
      next = static_cast<int64_t>(id) + 1;
    }
    for (; next < vocab.end; ++next) at(static_cast<int32_t>(next)) = kBanned;
  }
  if (params_.constraint == Constraint::kMask) CloseMasked(mask, vocab, row);
  CollectBans();
  for (const int32_t id : bans_) {
    if (local(id)) at(id) = kBanned;
  }
}

}  // namespace phalanx
