// On the host alone.
#include <utility>

#include "kernels/cuda/op_profiler.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

OpProfiler::Scope::Scope(OpProfiler& profiler, const char* op, std::string_view weight)
    : profiler_(profiler), op_(op), weight_(weight), range_(op) {
  if (profiler_.profile_ == OpProfile::kOn) begin_ = profiler_.events_.Mark();
}

OpProfiler::Scope::~Scope() {
  if (begin_ == nullptr) return;
  std::unique_ptr<Event> end = profiler_.events_.Mark();
  if (end == nullptr) return;
  profiler_.samples_.push_back({OpName(op_, weight_), std::move(begin_), std::move(end)});
}

void OpProfiler::Collect() {
  for (Sample& sample : samples_) {
    times_.Add(sample.name, sample.end->SecondsSince(*sample.begin));
    events_.Return(std::move(sample.begin));
    events_.Return(std::move(sample.end));
  }
  samples_.clear();
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
