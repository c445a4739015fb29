#include "worker/watchdog.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "worker/host.h"
#include "worker/liveness_judge.h"
#include "worker/process_end.h"

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

// glibc of Debian 12 has pidfd_open, older ones do not.
int PidfdOpen(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

class WatchdogThread final : public Watchdog {
 public:
  WatchdogThread(const LivenessBoard& board, WatchdogOptions options)
      : board_(board),
        options_(std::move(options)),
        judge_(board, {.silence = options_.silence,
                       .host = HostName(),
                       .describe = [this](int index) { return Describe(index); }}),
        gone_(static_cast<size_t>(board.size())),
        wake_(eventfd(0, EFD_CLOEXEC)) {
    PHALANX_CHECK_GE(wake_, 0);
    OpenPeers();
    thread_ = std::thread([this] { Run(); });
  }

  ~WatchdogThread() override {
    const uint64_t one = 1;
    PHALANX_CHECK(write(wake_, &one, sizeof(one)) == sizeof(one));
    thread_.join();
    for (const int fd : peers_) {
      if (fd >= 0) close(fd);
    }
    close(wake_);
  }
  WatchdogThread(const WatchdogThread&) = delete;
  WatchdogThread& operator=(const WatchdogThread&) = delete;

 private:
  std::string Describe(int index) const {
    return DescribeProcess(board_.record(index).pid, peers_[static_cast<size_t>(index)]);
  }

  void OpenPeers() {
    for (int i = 0; i < board_.size(); ++i) {
      int fd = -1;
      if (i != board_.index()) {
        fd = PidfdOpen(board_.record(i).pid.load(std::memory_order_acquire));
        if (fd < 0 && errno == ESRCH) gone_[static_cast<size_t>(i)] = true;
      }
      peers_.push_back(fd);
    }
  }

  void Run() {
    Clock::time_point last = Clock::now();
    while (WaitForNews()) {
      board_.mine().beats.fetch_add(1, std::memory_order_relaxed);
      ShareStopRequest();
      const Clock::time_point now = Clock::now();
      // A longer gap means that this process did not run either.
      const auto elapsed =
          std::min(std::chrono::duration_cast<Milliseconds>(now - last), 2 * options_.tick);
      last = now;
      if (board_.is_ended()) return options_.on_end();
      if (const std::optional<Status> fault = judge_.Look(elapsed, gone_)) {
        return options_.on_fault(*fault);
      }
    }
  }

  // Until a process ends or a tick has passed; false when the watchdog is to end.
  bool WaitForNews() {
    std::vector<pollfd> polled = {{.fd = wake_, .events = POLLIN, .revents = 0}};
    for (size_t i = 0; i < peers_.size(); ++i) {
      polled.push_back({.fd = gone_[i] ? -1 : peers_[i], .events = POLLIN, .revents = 0});
    }
    poll(polled.data(), polled.size(), static_cast<int>(options_.tick.count()));
    for (size_t i = 0; i < peers_.size(); ++i) {
      if ((polled[i + 1].revents & POLLIN) != 0) gone_[i] = true;
    }
    return (polled[0].revents & POLLIN) == 0;
  }

  void ShareStopRequest() {
    if (options_.stop_requested == nullptr) return;
    if (*options_.stop_requested) board_.RequestStop();
    if (board_.stop_requested()) *options_.stop_requested = true;
  }

  const LivenessBoard& board_;
  const WatchdogOptions options_;
  LivenessJudge judge_;
  std::vector<bool> gone_;  // [board_.size()]
  std::vector<int> peers_;  // [board_.size()] pidfds; -1: this process, or not supported
  const int wake_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Watchdog> Watchdog::Start(const LivenessBoard& board, WatchdogOptions options) {
  return std::make_unique<WatchdogThread>(board, std::move(options));
}

}  // namespace phalanx
