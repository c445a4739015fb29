#include "worker/health_pulse.h"

#include <algorithm>
#include <utility>

#include "worker/host.h"
#include "worker/process_end.h"

namespace phalanx {

HealthPulse::HealthPulse(const LivenessBoard& board, HealthPulseOptions options)
    : options_(std::move(options)),
      judge_(board, {.silence = options_.step_timeout,
                     .host = HostName(),
                     .describe =
                         [&board](int index) {
                           constexpr int kNoPidfd = -1;
                           return DescribeProcess(board.record(index).pid, kNoPidfd);
                         }}),
      thread_([this] { Run(); }) {}

HealthPulse::~HealthPulse() {
  {
    const std::lock_guard lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void HealthPulse::Run() {
  using Clock = std::chrono::steady_clock;
  using Milliseconds = std::chrono::milliseconds;
  Clock::time_point last = Clock::now();
  std::unique_lock lock(mu_);
  while (!changed_.wait_for(lock, options_.period, [this] { return stopping_; })) {
    const Clock::time_point now = Clock::now();
    // A longer gap means that this process did not run either.
    judge_.Observe(
        std::min(std::chrono::duration_cast<Milliseconds>(now - last), 2 * options_.period));
    last = now;
    options_.on_beat(judge_.FindStall());
  }
}

}  // namespace phalanx
