#include <algorithm>

#include "worker/scheduler_impl.h"

namespace phalanx {
namespace {

// By how many places a share leads that makes way: with one it would have a claim itself next.
constexpr int32_t kLead = 2;

// Who has had more tokens has no claim: long prompts count for more than the places they take.
bool MakesWay(const ShareUse& other, const ShareUse& own) {
  return other.num_running >= own.num_running + kLead && other.num_tokens >= own.num_tokens;
}

}  // namespace

// What a share had before it was away counts little: it comes with as many tokens as that one has
// of those present that had fewest, or, where nobody is, as the last one left with; and with one
// longest request more at most.
void Scheduler::Impl::JoinShare(uint64_t share) {
  if (share == 0) return;
  ShareUse& own = shares[share];
  if (own.num_sequences++ > 0) return;
  std::optional<int64_t> least;
  for (const auto& [id, other] : shares) {
    if (id == share || other.num_sequences == 0) continue;
    least = std::min(least.value_or(other.num_tokens), other.num_tokens);
  }
  const int64_t floor = least.value_or(tokens_of_last_share);
  own.num_tokens = std::clamp(own.num_tokens, floor, floor + config.limits.max_model_len);
}

void Scheduler::Impl::LeaveShare(uint64_t share) {
  if (share == 0) return;
  ShareUse& own = shares[share];
  if (--own.num_sequences == 0) tokens_of_last_share = own.num_tokens;
}

Sequence* Scheduler::Impl::NextToAdmit() const { return due != nullptr ? due : waiting.Next(); }

std::vector<uint64_t> Scheduler::Impl::SharesWithClaims() const {
  std::vector<ShareUse> leaders;
  for (const auto& [id, share] : shares) {
    if (share.num_running >= kLead) leaders.push_back(share);
  }
  std::vector<uint64_t> found;  // in order, as those of the map
  if (leaders.empty()) return found;
  for (const auto& [id, share] : shares) {
    if (share.num_sequences == share.num_running) continue;
    const ShareUse& own = share;
    if (std::ranges::any_of(leaders, [&own](const auto& other) { return MakesWay(other, own); })) {
      found.push_back(id);
    }
  }
  return found;
}

void Scheduler::Impl::MakeWay() {
  if (due != nullptr) return;
  std::vector<uint64_t> claims = SharesWithClaims();
  while (!claims.empty()) {
    Sequence* const claimant = waiting.Next([&claims](const Sequence& sequence) {
      return std::ranges::binary_search(claims, sequence.share);
    });
    if (claimant == nullptr) return;
    if (const auto leaving = InTheWayOf(*claimant)) {
      for (Sequence* sequence : *leaving) Preempt(*sequence);
      counters.num_made_way += std::ssize(*leaving);
      due = claimant;
      return;
    }
    std::erase(claims, claimant->share);  // it waits for blocks, as without a claim
  }
}

std::optional<std::vector<Sequence*>> Scheduler::Impl::InTheWayOf(Sequence& claimant) const {
  const int64_t needed =
      blocks.NumBlocksWanted(claimant) - blocks.FindPrefix(claimant).num_referenced;
  int64_t spare_blocks = SpareBlocks();
  std::map<uint64_t, ShareUse> use = shares;
  const ShareUse own = use.at(claimant.share);
  std::vector<Sequence*> leaving;
  while ((!HasPlace() && leaving.empty()) || spare_blocks < std::max<int64_t>(needed, 1)) {
    auto most = use.end();
    for (auto other = use.begin(); other != use.end(); ++other) {
      if (!MakesWay(other->second, own)) continue;
      if (most == use.end() || other->second.num_running > most->second.num_running) most = other;
    }
    if (most == use.end()) return std::nullopt;
    const auto is_next = [&](const Sequence* sequence) {
      return sequence->share == most->first &&
             std::ranges::find(leaving, sequence) == leaving.end();
    };
    Sequence& last = **std::find_if(running.rbegin(), running.rend(), is_next);
    leaving.push_back(&last);
    --most->second.num_running;
    // What it would have needed soon, and what nobody else holds.
    spare_blocks += blocks.NumBlocksWanted(last) - blocks.NumShared(last);
  }
  return leaving;
}

}  // namespace phalanx
