#include "tests/worker/scheduler_peer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "worker/scheduler_impl.h"

namespace phalanx {

void SchedulerPeer::CheckInvariants(const Scheduler& scheduler) {
  const Scheduler::Impl& impl = *scheduler.impl_;
  const BlockManager& manager = impl.blocks.manager();
  const int64_t block_size = impl.config.limits.block_size;

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
}

}  // namespace phalanx
