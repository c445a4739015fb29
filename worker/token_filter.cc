#include "worker/token_filter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/base/check.h"
#include "kernels/candidates.h"

namespace phalanx {
namespace {

bool Before(const TokenCandidate& a, const TokenCandidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

}  // namespace

CandidateMerge::CandidateMerge(std::span<const CandidateList> lists)
    : lists_(lists), next_(lists.size(), 0) {}

std::optional<TokenCandidate> CandidateMerge::Next() {
  const TokenCandidate* best = nullptr;
  size_t best_list = 0;
  for (size_t i = 0; i < lists_.size(); ++i) {
    const CandidateList& list = lists_[i];
    if (next_[i] == list.tokens.size()) {
      if (list.truncated) return std::nullopt;
      continue;
    }
    const TokenCandidate& head = list.tokens[next_[i]];
    if (head.id < 0) continue;
    if (best == nullptr || Before(head, *best)) {
      best = &head;
      best_list = i;
    }
  }
  if (best == nullptr) {
    exhausted_ = true;
    return std::nullopt;
  }
  ++next_[best_list];
  return *best;
}

TotalMass CombineMass(std::span<const ShardMass> shards, double inv_temperature) {
  TotalMass total{.max = -std::numeric_limits<double>::infinity(), .sum_exp = 0.0};
  for (const ShardMass& shard : shards) {
    total.max = std::max(total.max, static_cast<double>(shard.max));
  }
  for (const ShardMass& shard : shards) {
    if (shard.sum_exp == 0.0) continue;
    total.sum_exp +=
        shard.sum_exp * std::exp((static_cast<double>(shard.max) - total.max) * inv_temperature);
  }
  return total;
}

float MinLogit(float best, const SamplingParams& params) {
  const double reach =
      std::log(static_cast<double>(params.min_p)) * static_cast<double>(params.temperature);
  constexpr auto kLowest = static_cast<double>(std::numeric_limits<float>::lowest());
  return static_cast<float>(std::max(static_cast<double>(best) + reach, kLowest));
}

Coverage FilterCandidates(CandidateMerge& merge, const SamplingParams& params, double total_sum_exp,
                          std::vector<TokenCandidate>& kept) {
  kept.clear();
  const double inv_temperature = static_cast<double>(InvTemperature(params));
  const auto weight = [&](const TokenCandidate& token) {
    const double below_best =
        static_cast<double>(token.logit) - static_cast<double>(kept.front().logit);
    return std::exp(below_best * inv_temperature);
  };
  const auto top_p = static_cast<double>(params.top_p);

  if (params.top_k > 0) {
    while (kept.size() < static_cast<size_t>(params.top_k)) {
      const std::optional<TokenCandidate> token = merge.Next();
      if (!token) break;
      kept.push_back(*token);
    }
    if (params.top_p < 1.0F && !kept.empty()) {
      double sum = 0.0;
      for (const TokenCandidate& token : kept) sum += weight(token);
      double mass = 0.0;
      size_t count = 0;
      while (count < kept.size() && (count == 0 || mass < top_p * sum)) {
        mass += weight(kept[count++]);
      }
      kept.resize(count);
    }
  } else {
    double mass = 0.0;
    while (kept.empty() || params.top_p >= 1.0F || mass < top_p * total_sum_exp) {
      const std::optional<TokenCandidate> token = merge.Next();
      if (!token) {
        if (!merge.exhausted()) return Coverage::kNeedsFullRow;
        break;
      }
      kept.push_back(*token);
      mass += weight(*token);
    }
  }

  if (params.min_p > 0.0F) {
    size_t count = 0;
    while (count < kept.size() &&
           (count == 0 || weight(kept[count]) >= static_cast<double>(params.min_p))) {
      ++count;
    }
    kept.resize(count);
  }
  return Coverage::kEnough;
}

TokenCandidate ChooseByGumbel(std::span<const TokenCandidate> kept, const SamplingParams& params,
                              uint32_t index) {
  PHALANX_CHECK(!kept.empty());
  const double inv_temperature = static_cast<double>(InvTemperature(params));
  const TokenCandidate* best = nullptr;
  double best_score = 0.0;
  for (const TokenCandidate& token : kept) {
    const double score = static_cast<double>(token.logit) * inv_temperature +
                         GumbelVariate(params.seed, params.choice, index, token.id);
    if (best == nullptr || score > best_score || (score == best_score && token.id < best->id)) {
      best = &token;
      best_score = score;
    }
  }
  return *best;
}

}  // namespace phalanx
