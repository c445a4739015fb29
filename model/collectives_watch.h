// Asks the collectives on a device's queue about themselves while the host waits for it.
#pragma once

#include "kernels/device_queue.h"
#include "parallel/device_collectives.h"

namespace phalanx {

class CollectivesWatch : public QueueWatch {
 public:
  // Until it goes, it is the queue's watch. Both must outlive it.
  CollectivesWatch(DeviceQueue& queue, DeviceCollectives& collectives)
      : queue_(queue), collectives_(collectives) {
    queue_.SetWatch(this);
  }
  ~CollectivesWatch() override { queue_.SetWatch(nullptr); }
  CollectivesWatch(const CollectivesWatch&) = delete;
  CollectivesWatch& operator=(const CollectivesWatch&) = delete;

  Status Check() override { return collectives_.Check(); }
  void BeginWait() override { collectives_.BeginWait(); }
  void EndWait() override { collectives_.EndWait(); }

 protected:
  DeviceCollectives& collectives() { return collectives_; }

 private:
  DeviceQueue& queue_;
  DeviceCollectives& collectives_;
};

}  // namespace phalanx
