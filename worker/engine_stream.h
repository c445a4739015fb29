// Rank 0's end of the engine channel: dials the coordinator, registers, and turns the stream into a
// queue of commands that wakes the step loop.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/status.h"
#include "phalanx/internal/engine.grpc.pb.h"

namespace phalanx {

struct DialOptions {
  std::string socket_path;  // the token lies in socket_path + ".token"
  std::chrono::milliseconds patience{60'000};
  // Asked at least ten times a second while there is nothing to do but to wait; an error ends the
  // dialing.
  std::function<Status()> while_waiting = [] { return OkStatus(); };
};

class EngineStream {
 public:
  // Retries until the coordinator listens. UNAVAILABLE when patience ends or where the coordinator
  // refuses the registration, with its words; else the error of `while_waiting`.
  static StatusOr<std::unique_ptr<EngineStream>> Dial(const DialOptions& options,
                                                      internal::Register registration);
  ~EngineStream();
  EngineStream(const EngineStream&) = delete;
  EngineStream& operator=(const EngineStream&) = delete;

  uint64_t epoch() const { return epoch_; }

  // What has come, in order; empty when `patience` has passed without anything. Returns at once
  // where commands wait, the stream has ended or Wake() was called.
  std::vector<internal::EngineCommand> Take(std::chrono::nanoseconds patience);
  void Wake();  // from any thread
  // The coordinator is gone: no command will follow those taken.
  bool is_closed() const;

  Status Send(const internal::EngineEvent& event);  // from any thread

 private:
  using Clock = std::chrono::steady_clock;

  EngineStream() = default;
  Status Register(const DialOptions& options, Clock::time_point deadline,
                  internal::Register registration);
  void Read();

  grpc::ClientContext context_;
  std::unique_ptr<internal::EngineHub::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<internal::EngineEvent, internal::EngineCommand>> stream_;
  uint64_t epoch_ = 0;
  std::thread reader_;
  std::mutex write_mu_;  // gRPC takes one write at a time

  mutable std::mutex mu_;
  std::condition_variable arrived_;
  std::vector<internal::EngineCommand> commands_;
  bool woken_ = false;  // since the last Take
  bool closed_ = false;
  grpc::Status final_status_;  // once closed
};

}  // namespace phalanx
