#include "bench/round_trip_probe.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "kernels/base/check.h"

namespace phalanx::bench {
namespace {

void Echo(int socket) {
  char byte = 0;
  while (::read(socket, &byte, 1) == 1) {
    if (::write(socket, &byte, 1) != 1) return;
  }
}

}  // namespace

RoundTripProbe::RoundTripProbe() {
  int ends[2];
  PHALANX_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  child_ = ::fork();
  PHALANX_CHECK(child_ >= 0);
  if (child_ == 0) {
    ::close(ends[0]);
    Echo(ends[1]);
    ::_exit(0);
  }
  ::close(ends[1]);
  socket_ = ends[0];
  thread_ = std::thread([this] { Run(); });
}

RoundTripProbe::~RoundTripProbe() {
  stopping_ = true;
  thread_.join();
  ::close(socket_);
  ::waitpid(child_, nullptr, 0);
}

void RoundTripProbe::Run() {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kPeriod(20);
  while (!stopping_) {
    std::this_thread::sleep_for(kPeriod);
    const auto begin = Clock::now();
    char byte = 0;
    if (::write(socket_, &byte, 1) != 1 || ::read(socket_, &byte, 1) != 1) return;
    const std::chrono::duration<double, std::micro> time = Clock::now() - begin;
    std::lock_guard lock(mu_);
    times_us_.push_back(time.count());
  }
}

Latency RoundTripProbe::Take() {
  std::lock_guard lock(mu_);
  if (times_us_.empty()) return {};
  return LatencyOf(std::exchange(times_us_, {}));
}

}  // namespace phalanx::bench
