// Adds the life of a scope to a communicator's statistics.
#pragma once

#include <chrono>

#include "parallel/communicator.h"

namespace phalanx {

class CallTimer {
 public:
  explicit CallTimer(Communicator::Stats& stats) : stats_(stats) {}
  ~CallTimer() {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
    stats_.seconds += elapsed.count();
    ++stats_.calls;
  }
  CallTimer(const CallTimer&) = delete;
  CallTimer& operator=(const CallTimer&) = delete;

 private:
  Communicator::Stats& stats_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace phalanx
