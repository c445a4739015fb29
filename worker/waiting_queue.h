// Sequences that wait for a slot and blocks, in order, and the gate that holds back the choices of
// a group.
//
// Choices of one request (n > 1) have one prompt. Started together they would all compute it; so
// the later ones wait until the first has computed its prompt and take its full blocks from the
// prefix cache. Where the first ends early, the next takes its place, so a group never locks up.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <unordered_map>
#include <vector>

#include "worker/sequence.h"

namespace phalanx {

enum class GroupGate : uint8_t { kOff, kOn };

class WaitingQueue {
 public:
  // kOn only pays with a prefix cache. Prompts of at most `block_size` tokens share no block and
  // pass the gate.
  WaitingQueue(GroupGate gate, int32_t block_size) : gate_(gate), block_size_(block_size) {}

  // Every sequence joins its group when it is added and leaves it when it ends; it is in the queue
  // only while it waits.
  void JoinGroup(const Sequence& sequence);
  void LeaveGroup(const Sequence& sequence);
  void PromptComputed(const Sequence& sequence);

  void Push(Sequence& sequence) { waiting_.insert(&sequence); }
  void Remove(Sequence& sequence) { waiting_.erase(&sequence); }
  // The first sequence that the gate lets through, and of those that `wanted` says; null where
  // there is none.
  Sequence* Next() const;
  Sequence* Next(const std::function<bool(const Sequence&)>& wanted) const;
  size_t size() const { return waiting_.size(); }

 private:
  struct Group {
    std::vector<const Sequence*> members;  // in order of arrival; the first one leads
    bool prompt_is_computed = false;
  };
  struct InOrder {
    bool operator()(const Sequence* a, const Sequence* b) const { return a->order < b->order; }
  };
  bool IsHeldBack(const Sequence& sequence) const;

  GroupGate gate_;
  int32_t block_size_;
  std::set<Sequence*, InOrder> waiting_;
  std::unordered_map<uint64_t, Group> groups_;
};

}  // namespace phalanx
