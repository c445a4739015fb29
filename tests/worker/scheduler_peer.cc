#include "tests/worker/scheduler_peer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "worker/scheduler_impl.h"

namespace phalanx {

SchedulerPeer::Before SchedulerPeer::Look(const Scheduler& scheduler) {
  Before before;
  for (const Sequence* sequence : scheduler.impl_->running) {
    before.running.emplace(sequence->id, sequence->order);
  }
  before.num_preemptions = scheduler.stats().num_preemptions;
  before.num_made_way = scheduler.stats().num_made_way;
  return before;
}

void SchedulerPeer::CheckBlocks(const BlockManager& manager) {
  std::set<int32_t> free(manager.free_.begin(), manager.free_.end());
  EXPECT_EQ(free.size(), manager.free_.size());
  std::map<ContentId, int32_t> published;
  for (int32_t block = 0; block < manager.num_blocks(); ++block) {
    const BlockManager::Block& state = manager.At(block);
    if (free.contains(block)) {
      EXPECT_EQ(state.num_references, 0);
      EXPECT_EQ(state.content, kNoContent);
    }
    if (state.content == kNoContent) continue;
    EXPECT_TRUE(published.emplace(state.content, block).second) << "two blocks of one content";
    const auto found = manager.block_of_hash_.find(state.hash);
    ASSERT_NE(found, manager.block_of_hash_.end());
    EXPECT_EQ(found->second, block);
  }
  EXPECT_EQ(manager.block_of_hash_.size(), published.size());
  // Descendants go before their ancestors, so whatever is cached can be reached.
  for (const auto& [content, block] : published) {
    const ContentId parent = manager.At(block).parent;
    EXPECT_TRUE(parent == kRootContent || published.contains(parent)) << "block " << block;
    if (parent == kRootContent) continue;
    EXPECT_GE(manager.num_references(published.at(parent)), manager.num_references(block))
        << "who uses a block uses all before it";
  }
  int64_t num_evictable = 0;
  int32_t older = kNoBlock;
  for (int32_t block = manager.oldest_evictable_; block != kNoBlock;
       block = manager.At(block).newer) {
    ASSERT_LE(++num_evictable, manager.num_blocks());
    EXPECT_EQ(manager.At(block).older, older);
    EXPECT_EQ(manager.num_references(block), 0);
    EXPECT_NE(manager.At(block).content, kNoContent);
    older = block;
  }
  EXPECT_EQ(manager.newest_evictable_, older);
  EXPECT_EQ(manager.num_evictable(), num_evictable);
}

void SchedulerPeer::CheckInvariants(const Scheduler& scheduler) {
  const Scheduler::Impl& impl = *scheduler.impl_;
  const BlockManager& manager = impl.blocks.manager();
  const int64_t block_size = impl.config.limits.block_size;
  CheckBlocks(manager);

  std::vector<const Sequence*> holders(impl.running.begin(), impl.running.end());
  for (const auto& sequence : impl.cancelled) holders.push_back(sequence.get());

  // Every reference has an owner, and only published, computed blocks have two.
  std::vector<int32_t> owners(static_cast<size_t>(manager.num_blocks()));
  std::vector<int32_t> private_owners(owners.size());
  for (const Sequence* sequence : holders) {
    std::set<int32_t> distinct;
    for (size_t i = 0; i < sequence->block_table.size(); ++i) {
      const size_t block = static_cast<size_t>(sequence->block_table[i]);
      ASSERT_TRUE(distinct.insert(sequence->block_table[i]).second);
      ++owners[block];
      if (i >= static_cast<size_t>(sequence->num_shared_blocks)) ++private_owners[block];
    }
    EXPECT_LE(sequence->num_shared_blocks * block_size, sequence->num_computed);
    EXPECT_LE(sequence->num_computed + sequence->num_scheduled,
              static_cast<int64_t>(sequence->block_table.size()) * block_size);
  }
  int64_t num_used = 0;
  for (size_t block = 0; block < owners.size(); ++block) {
    EXPECT_EQ(manager.num_references(static_cast<int32_t>(block)), owners[block]);
    if (owners[block] > 0) ++num_used;
    if (private_owners[block] > 0) {
      EXPECT_EQ(owners[block], 1) << "block " << block;
    }
  }
  EXPECT_EQ(manager.num_free() + manager.num_evictable() + num_used, manager.num_blocks());

  // Slots and sequences know each other, and nobody is in two places.
  size_t num_slots_used = 0;
  for (size_t slot = 0; slot < impl.slots.size(); ++slot) {
    if (impl.slots[slot] == nullptr) continue;
    ++num_slots_used;
    EXPECT_EQ(impl.slots[slot]->slot, static_cast<int32_t>(slot));
  }
  EXPECT_EQ(num_slots_used, holders.size());
  EXPECT_EQ(num_slots_used + impl.free_slots.size(), impl.slots.size());
  EXPECT_EQ(impl.running.size() + impl.waiting.size(), impl.sequences.size());
  EXPECT_TRUE(std::ranges::is_sorted(impl.running, {}, [](const Sequence* s) { return s->order; }));
  std::map<uint64_t, ShareUse> shares;
  for (const auto& [id, sequence] : impl.sequences) {
    ++shares[sequence->share].num_sequences;
    if (sequence->is_running()) ++shares[sequence->share].num_running;
  }
  for (const auto& [id, share] : impl.shares) {
    EXPECT_EQ(share.num_sequences, shares[id].num_sequences);
    EXPECT_EQ(share.num_running, shares[id].num_running);
  }
  EXPECT_FALSE(impl.shares.contains(0));
  if (impl.due != nullptr) {
    EXPECT_FALSE(impl.due->is_running());
    EXPECT_TRUE(std::ranges::any_of(
        impl.sequences, [&](const auto& entry) { return entry.second.get() == impl.due; }));
  }
}

void SchedulerPeer::CheckStep(const Scheduler& scheduler, const StepPlan& plan,
                              const Before& before) {
  const Scheduler::Impl& impl = *scheduler.impl_;
  size_t num_logits = 0;
  for (const SequenceWork& work : plan.work) num_logits += work.logit_offsets.size();
  EXPECT_LE(num_logits, static_cast<size_t>(impl.config.max_num_logit_rows));

  const auto is_running = [&](uint64_t id) {
    return std::ranges::any_of(impl.running, [id](const Sequence* s) { return s->id == id; });
  };
  const int64_t num_for_blocks = impl.counters.num_preemptions - before.num_preemptions;
  const int64_t num_made_way = impl.counters.num_made_way - before.num_made_way;
  int64_t num_preempted = 0;
  for (const auto& [id, order] : before.running) {
    if (is_running(id)) continue;
    ++num_preempted;
    if (num_made_way == 0) {
      EXPECT_TRUE(impl.running.empty() || impl.running.back()->order < order)
          << "an earlier sequence was preempted for a later one";
    }
  }
  if (!before.running.empty()) {
    const auto first = std::ranges::min_element(
        before.running, {}, [](const auto& sequence) { return sequence.second; });
    EXPECT_TRUE(is_running(first->first)) << "the first of all had to go";
  }
  // Who made way may find room again in the same step where it shares blocks with the other.
  EXPECT_GE(num_for_blocks + num_made_way, num_preempted);
  EXPECT_LE(num_for_blocks, num_preempted) << "admitted and preempted in one step";
  if (num_for_blocks > 0) {
    EXPECT_TRUE(plan.inits.empty()) << "admitted although blocks are short";
  }

  const Sequence* const next = impl.waiting.Next();
  for (const Sequence* sequence : impl.running) {
    if (next != nullptr && !before.running.contains(sequence->id) &&
        sequence->order > next->order) {
      EXPECT_NE(sequence->share, 0) << "request " << next->id << " was overtaken";
    }
    if (!sequence->is_decode() || sequence->num_scheduled > 0) continue;
    EXPECT_TRUE(impl.left.tokens == 0 || impl.left.logits == 0 ||
                impl.blocks.manager().num_available() == 0)
        << "request " << sequence->id << " could have gone on";
  }
}

}  // namespace phalanx
