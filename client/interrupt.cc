#include "client/interrupt.h"

#include <pthread.h>
#include <signal.h>

namespace phalanx {
namespace {

constexpr int kStopSignal = SIGUSR1;

sigset_t WatchedSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, kStopSignal);
  return signals;
}

}  // namespace

InterruptWatcher::InterruptWatcher(std::function<void()> on_idle) : on_idle_(std::move(on_idle)) {
  const sigset_t signals = WatchedSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { Watch(); });
}

InterruptWatcher::~InterruptWatcher() {
  pthread_kill(thread_.native_handle(), kStopSignal);
  thread_.join();
}

void InterruptWatcher::SetCall(grpc::ClientContext* call) {
  const std::lock_guard lock(mutex_);
  call_ = call;
  if (call != nullptr) cancelled_ = false;
}

bool InterruptWatcher::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

void InterruptWatcher::Watch() {
  const sigset_t signals = WatchedSignals();
  for (int signal = 0; sigwait(&signals, &signal) == 0 && signal == SIGINT;) {
    const std::lock_guard lock(mutex_);
    if (call_ != nullptr) {
      call_->TryCancel();
      cancelled_ = true;
    } else {
      on_idle_();
    }
  }
}

}  // namespace phalanx
