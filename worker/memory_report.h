// What a rank holds in the memory of its device, for metrics.
#pragma once

#include <chrono>

#include "kernels/backend.h"
#include "parallel/liveness.h"

namespace phalanx {

class MemoryReport {
 public:
  using Clock = std::chrono::steady_clock;

  // Both must outlive it; a board of null is told nothing.
  MemoryReport(const LivenessBoard* board, const Backend& backend)
      : board_(board), backend_(backend) {}

  // Tells the board; within a second of the last time it does nothing, since a driver may take a
  // while to say what is free. Nothing to tell where the backend's memory is the host's.
  void Refresh(Clock::time_point now);

 private:
  const LivenessBoard* board_;
  const Backend& backend_;
  Clock::time_point next_{};
};

}  // namespace phalanx
