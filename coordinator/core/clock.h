// The clock of deadlines and durations.
#pragma once

#include <chrono>

namespace phalanx {

using Clock = std::chrono::steady_clock;

inline double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace phalanx
