// Ctrl-C ends what is under way and not the program.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <mutex>
#include <thread>

namespace phalanx {

// While it lives, SIGINT cancels the call that is under way; where none is, `on_idle` runs (on
// another thread). Make it before the first thread of the process, which inherit that the signal is
// blocked.
class InterruptWatcher {
 public:
  explicit InterruptWatcher(std::function<void()> on_idle);
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  // nullptr: no call is under way.
  void SetCall(grpc::ClientContext* call);

  // Whether SIGINT cancelled the last call.
  bool cancelled() const;

 private:
  void Watch();

  const std::function<void()> on_idle_;
  mutable std::mutex mutex_;
  grpc::ClientContext* call_ = nullptr;  // guarded by mutex_
  bool cancelled_ = false;               // guarded by mutex_
  std::thread thread_;
};

}  // namespace phalanx
