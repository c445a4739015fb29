// Marks of the compute queue that are used again and again.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "kernels/cuda/device.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// Used by one thread.
class EventPool {
 public:
  // `device` outlives it.
  explicit EventPool(Device& device) : device_(device) {}

  // One that marks this place of the queue; null where there is none to be had.
  std::unique_ptr<Event> Mark();
  void Return(std::unique_ptr<Event> event) { unused_.push_back(std::move(event)); }

 private:
  Device& device_;
  std::vector<std::unique_ptr<Event>> unused_;
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
