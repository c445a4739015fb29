// Whether the attached worker group runs and gets on, from what rank 0 sends. Pure: time is what
// the caller says has passed, so a coordinator that was stopped itself blames nobody.
#pragma once

#include <chrono>
#include <string>

#include "phalanx/internal/engine.pb.h"

namespace phalanx {

class GroupHealth {
 public:
  // A group has attached.
  void Start(const internal::Register& group);

  void OnPulse(const internal::Pulse& pulse);
  // Anything else came from rank 0, whose process runs then.
  void OnSign();
  // A step has ended: every rank took part in it.
  void OnStep();
  void Pass(std::chrono::milliseconds elapsed);

  // What has been wrong for longer than `limit`; empty: nothing.
  std::string Trouble(std::chrono::milliseconds limit) const;

 private:
  int64_t rank0_pid_ = 0;
  std::chrono::milliseconds silent_{0};   // since rank 0 sent something
  std::chrono::milliseconds stalled_{0};  // by rank 0's last pulse
  std::string reason_;
};

}  // namespace phalanx
