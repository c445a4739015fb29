#include "coordinator/core/group_health.h"

#include <fmt/format.h>

#include "coordinator/core/clock.h"

namespace phalanx {

void GroupHealth::Start(const internal::Register& group) {
  *this = GroupHealth();
  rank0_pid_ = group.pid();
}

void GroupHealth::OnPulse(const internal::Pulse& pulse) {
  OnSign();
  stalled_ = std::chrono::milliseconds(pulse.stalled_ms());
  reason_ = pulse.reason();
}

void GroupHealth::OnSign() { silent_ = std::chrono::milliseconds(0); }

void GroupHealth::OnStep() {
  OnSign();
  stalled_ = std::chrono::milliseconds(0);
}

void GroupHealth::Pass(std::chrono::milliseconds elapsed) { silent_ += elapsed; }

std::string GroupHealth::Trouble(std::chrono::milliseconds limit) const {
  if (silent_ > limit) {
    return fmt::format("rank 0 (pid {}) has been silent for {:.1f} s", rank0_pid_,
                       Seconds(silent_));
  }
  if (stalled_ > limit) return reason_;
  return {};
}

}  // namespace phalanx
