#include "worker/waiting_queue.h"

#include "kernels/base/check.h"

namespace phalanx {

void WaitingQueue::JoinGroup(const Sequence& sequence) {
  if (gate_ == GroupGate::kOff || sequence.group == 0) return;
  groups_[sequence.group].members.push_back(&sequence);
}

void WaitingQueue::LeaveGroup(const Sequence& sequence) {
  const auto it = groups_.find(sequence.group);
  if (it == groups_.end()) return;
  std::erase(it->second.members, &sequence);
  if (it->second.members.empty()) groups_.erase(it);
}

void WaitingQueue::PromptComputed(const Sequence& sequence) {
  const auto it = groups_.find(sequence.group);
  if (it != groups_.end()) it->second.prompt_is_computed = true;
}

Sequence* WaitingQueue::Next() const {
  return Next([](const Sequence&) { return true; });
}

Sequence* WaitingQueue::Next(const std::function<bool(const Sequence&)>& wanted) const {
  for (Sequence* sequence : waiting_) {
    if (wanted(*sequence) && !IsHeldBack(*sequence)) return sequence;
  }
  return nullptr;
}

bool WaitingQueue::IsHeldBack(const Sequence& sequence) const {
  // One that does not read the prefix cache gains nothing by waiting.
  if (sequence.num_prompt <= block_size_ || sequence.needs_prompt_logits()) return false;
  const auto it = groups_.find(sequence.group);
  if (it == groups_.end()) return false;
  const Group& group = it->second;
  return !group.prompt_is_computed && group.members.front() != &sequence;
}

}  // namespace phalanx
