// How long the device's collectives take, waiting for the other ranks included: a mark before and
// one behind each, which are read when somebody waits for the device anyway. On a GPU a mark costs
// the host and the device about a microsecond each, and nobody waits for it; on an emulated device
// it is the host's clock.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/event_pool.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// Used by one thread.
class CollectiveTimer {
 public:
  // `device` outlives it.
  explicit CollectiveTimer(Device& device) : events_(device) {}

  void Begin() { begin_ = events_.Mark(); }
  void End();
  // Adds what has ended; the device has finished.
  void Collect();
  double seconds() const { return seconds_; }

 private:
  struct Span {
    std::unique_ptr<Event> begin;
    std::unique_ptr<Event> end;
  };

  EventPool events_;
  std::unique_ptr<Event> begin_;  // null where nothing is timed
  std::vector<Span> spans_;
  double seconds_ = 0;
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
