// Ranges and times of ops that a stream runs later: an event before and one behind each op, read
// once the device has come past them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/op_times.h"
#include "kernels/cuda/event_pool.h"
#include "kernels/cuda/profile_range.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// Used by one thread.
class OpProfiler {
 public:
  // `device` outlives it.
  OpProfiler(Device& device, OpProfile profile) : events_(device), profile_(profile) {}

  // An op, while it lives; a step, with the ops in it.
  class Scope {
   public:
    Scope(OpProfiler& profiler, const char* op, std::string_view weight = {});
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    OpProfiler& profiler_;
    const char* op_;
    std::string_view weight_;
    ProfileRange range_;
    std::unique_ptr<Event> begin_;  // null where nothing is timed
  };

  // Takes over the times of all ops that have ended; the device has finished.
  void Collect();
  std::vector<OpTime> table() const { return times_.table(); }

 private:
  struct Sample {
    std::string name;
    std::unique_ptr<Event> begin;
    std::unique_ptr<Event> end;
  };

  EventPool events_;
  OpProfile profile_;
  std::vector<Sample> samples_;
  OpTimes times_;
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
