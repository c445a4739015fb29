// On the host alone.
#include <utility>

#include "kernels/cuda/op_profiler.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

OpProfiler::Scope::Scope(OpProfiler& profiler, const char* op, std::string_view weight)
    : profiler_(profiler), op_(op), weight_(weight), range_(op) {
  if (profiler_.profile_ == OpProfile::kOn) begin_ = profiler_.Mark();
}

OpProfiler::Scope::~Scope() {
  if (begin_ == nullptr) return;
  std::unique_ptr<Event> end = profiler_.Mark();
  if (end == nullptr) return;
  profiler_.samples_.push_back({OpName(op_, weight_), std::move(begin_), std::move(end)});
}

std::unique_ptr<Event> OpProfiler::Mark() {
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

void OpProfiler::Collect() {
  for (Sample& sample : samples_) {
    times_.Add(sample.name, sample.end->SecondsSince(*sample.begin));
    unused_.push_back(std::move(sample.begin));
    unused_.push_back(std::move(sample.end));
  }
  samples_.clear();
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
