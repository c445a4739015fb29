// Tells the coordinator why its worker group ends, from any rank of rank 0's host: rank 0 itself
// may be the one that died or hangs.
#pragma once

#include <chrono>
#include <filesystem>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

struct LossReport {
  std::filesystem::path socket;  // the coordinator's; the token lies in SOCKET.token
  int rank0_pid = 0;             // names the group
  std::string_view reason;       // what open streams end with
  std::chrono::milliseconds patience{1000};
};

// Blocks until the coordinator has ended the group's streams. UNAVAILABLE where it is not reached
// or not there, UNAUTHENTICATED for a wrong token; OK also where it knows no such group any more.
Status SendLossReport(const LossReport& report);

}  // namespace phalanx
