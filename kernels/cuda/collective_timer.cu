// On the host alone.
#include <utility>

#include "kernels/cuda/collective_timer.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

void CollectiveTimer::End() {
  if (begin_ == nullptr) return;
  std::unique_ptr<Event> end = events_.Mark();
  if (end == nullptr) return;
  spans_.push_back({std::move(begin_), std::move(end)});
}

void CollectiveTimer::Collect() {
  for (Span& span : spans_) {
    seconds_ += span.end->SecondsSince(*span.begin);
    events_.Return(std::move(span.begin));
    events_.Return(std::move(span.end));
  }
  spans_.clear();
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
