// A thread of rank 0 that says a few times a second how the ranks of its host live, however long a
// step takes and whatever it waits for.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "parallel/liveness.h"
#include "worker/liveness_judge.h"

namespace phalanx {

struct HealthPulseOptions {
  std::chrono::milliseconds period{250};
  std::chrono::milliseconds step_timeout{60'000};  // StepDeadline::base of the ranks
  // Runs on the pulse's thread.
  std::function<void(const LivenessJudge::Stall&)> on_beat;
};

class HealthPulse {
 public:
  // `board` must outlive it.
  HealthPulse(const LivenessBoard& board, HealthPulseOptions options);
  ~HealthPulse();
  HealthPulse(const HealthPulse&) = delete;
  HealthPulse& operator=(const HealthPulse&) = delete;

 private:
  void Run();

  const HealthPulseOptions options_;
  LivenessJudge judge_;
  std::mutex mu_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace phalanx
