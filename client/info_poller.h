// Asks a server for its ServerInfo again and again, on a thread of its own.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "client/connection.h"
#include "client/top_view.h"

namespace phalanx {

// One answer, or why there is none. `context` is new; where the flags have no --timeout a call may
// take three seconds, for a server that does not answer may not be there any more.
TopSample AskForInfo(v1::Inference::StubInterface& stub, const ConnectionFlags& flags,
                     grpc::ClientContext& context);

class InfoPoller {
 public:
  InfoPoller(const ConnectionFlags& flags, std::chrono::milliseconds interval);
  ~InfoPoller();  // cancels the call that is under way
  InfoPoller(const InfoPoller&) = delete;
  InfoPoller& operator=(const InfoPoller&) = delete;

  // Can be read while there is a sample to take.
  int wake() const { return wake_; }
  std::deque<TopSample> Take();

 private:
  void Run();

  const ConnectionFlags flags_;
  const std::chrono::milliseconds interval_;
  const std::unique_ptr<v1::Inference::StubInterface> stub_;
  const int wake_;  // an eventfd
  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<TopSample> samples_;        // guarded by mu_
  grpc::ClientContext* call_ = nullptr;  // guarded by mu_
  bool stopping_ = false;                // guarded by mu_
  std::thread thread_;
};

}  // namespace phalanx
