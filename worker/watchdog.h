// A thread of each rank that shows that its process runs and watches the other ranks of its host. A
// rank's death is noticed at once (pidfd), what else ends a group within the times that
// worker/liveness_judge.h knows.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>

#include "kernels/base/status.h"
#include "parallel/liveness.h"

namespace phalanx {

struct WatchdogOptions {
  std::chrono::milliseconds silence{60'000};  // LivenessJudgeOptions
  std::chrono::milliseconds tick{200};        // between two beats, and two looks at the others
  // Shown to the ranks of the host, and to this one what they were told.
  std::atomic<bool>* stop_requested = nullptr;
  // Both run on the watchdog's thread, at most one of them and once; the process should end there.
  std::function<void(const Status&)> on_fault;  // the group is broken, this rank says so
  std::function<void()> on_end;                 // another rank has said so
};

class Watchdog {
 public:
  // `board` and what the options point to must outlive it. Every rank of the host is on the board.
  static std::unique_ptr<Watchdog> Start(const LivenessBoard& board, WatchdogOptions options);
  virtual ~Watchdog() = default;
};

}  // namespace phalanx
