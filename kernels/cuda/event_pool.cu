// On the host alone.
#include "kernels/cuda/event_pool.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

std::unique_ptr<Event> EventPool::Mark() {
  if (unused_.empty()) {
    StatusOr<std::unique_ptr<Event>> event = device_.CreateEvent();
    if (!event.ok()) return nullptr;
    unused_.push_back(std::move(event).value());
  }
  std::unique_ptr<Event> event = std::move(unused_.back());
  unused_.pop_back();
  event->Record(Queue::kCompute);
  return event;
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
