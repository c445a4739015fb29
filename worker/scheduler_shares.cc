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

void Scheduler::Impl::JoinShare(uint64_t share) {
  if (share == 0) return;
  ShareUse& own = shares[share];
  if (own.num_sequences++ > 0) return;
  std::optional<int64_t> least;
  for (const auto& [id, other] : shares) {
    if (id == share || other.num_sequences == 0) continue;
    least = std::min(least.value_or(other.num_tokens), other.num_tokens);
  }
  own.num_tokens = std::max(own.num_tokens, least.value_or(0));
}

void Scheduler::Impl::LeaveShare(uint64_t share) {
  if (share != 0) --shares[share].num_sequences;
}

Sequence* Scheduler::Impl::NextClaimant() const {
  if (shares.empty()) return nullptr;
  std::vector<ShareUse> leaders;
  for (const auto& [id, share] : shares) {
    if (share.num_running >= kLead) leaders.push_back(share);
  }
  return waiting.Next([&](const Sequence& sequence) {
    if (sequence.others_made_way) return true;
    if (sequence.share == 0 || leaders.empty()) return false;
    const ShareUse& own = shares.at(sequence.share);
    return std::ranges::any_of(leaders,
                               [&own](const ShareUse& other) { return MakesWay(other, own); });
  });
}

Sequence* Scheduler::Impl::NextToAdmit() const {
  Sequence* const claimant = NextClaimant();
  return claimant != nullptr ? claimant : waiting.Next();
}

void Scheduler::Impl::MakeWay() {
  Sequence* const claimant = NextClaimant();
  if (claimant == nullptr) return;
  for (Sequence* sequence : InTheWayOf(*claimant)) {
    Preempt(*sequence);
    claimant->others_made_way = true;
    ++counters.num_made_way;
  }
}

std::vector<Sequence*> Scheduler::Impl::InTheWayOf(Sequence& claimant) const {
  const int64_t needed =
      blocks.NumBlocksWanted(claimant) - blocks.FindPrefix(claimant).num_referenced;
  int64_t spare_blocks = SpareBlocks();
  int64_t num_free = most_running - std::ssize(running);
  std::map<uint64_t, ShareUse> use = shares;
  std::vector<Sequence*> leaving;
  while (num_free < 1 || spare_blocks < std::max<int64_t>(needed, 1)) {
    const auto most = std::ranges::max_element(
        use, {}, [](const auto& share) { return share.second.num_running; });
    if (!MakesWay(most->second, use.at(claimant.share))) return {};
    const auto is_next = [&](const Sequence* sequence) {
      return sequence->share == most->first &&
             std::ranges::find(leaving, sequence) == leaving.end();
    };
    Sequence& last = **std::find_if(running.rbegin(), running.rend(), is_next);
    leaving.push_back(&last);
    --most->second.num_running;
    ++num_free;
    // What it would have needed soon, and what nobody else holds.
    spare_blocks += blocks.NumBlocksWanted(last) - blocks.NumShared(last);
  }
  return leaving;
}

}  // namespace phalanx
