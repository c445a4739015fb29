// Looks inside a scheduler for what must hold between any two calls, and after each step it makes.
#pragma once

#include <cstdint>
#include <map>

#include "worker/block_manager.h"
#include "worker/scheduler.h"
#include "worker/sequence.h"

namespace phalanx {

class SchedulerPeer {
 public:
  // What a step starts from.
  struct Before {
    std::map<uint64_t, QueueOrder> running;
    int64_t num_preemptions = 0;
    int64_t num_made_way = 0;
  };
  static Before Look(const Scheduler& scheduler);

  // References, slots and lists agree. Fails the current test where they do not.
  static void CheckInvariants(const Scheduler& scheduler);
  // The step that made `plan` overtook nobody but by a claim, preempted only the latest, or for a
  // claim never the first of a share, and left no room unused that a decode needs.
  static void CheckStep(const Scheduler& scheduler, const StepPlan& plan, const Before& before);

 private:
  static void CheckBlocks(const BlockManager& manager);
};

}  // namespace phalanx
