// Looks inside a Scheduler at what must always hold.
#pragma once

#include "worker/scheduler.h"

namespace phalanx {

class SchedulerPeer {
 public:
  // Adds a failure to the current test for each invariant of blocks, slots and order that is
  // broken.
  static void CheckInvariants(const Scheduler& scheduler);
};

}  // namespace phalanx
