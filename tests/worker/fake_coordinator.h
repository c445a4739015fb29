// The coordinator's end of the engine channel, which does what a test tells it to, also what no
// coordinator should.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "phalanx/internal/engine.grpc.pb.h"

namespace phalanx::testing {

// Thread-safe. Takes one channel at a time.
class FakeCoordinator final : public internal::EngineHub::Service {
 public:
  using Channel = grpc::ServerReaderWriter<internal::EngineCommand, internal::EngineEvent>;
  enum class Welcome : uint8_t { kAtOnce, kNever };

  FakeCoordinator(Welcome welcome, std::string token = "secret");
  ~FakeCoordinator() override;

  std::string socket() const { return (folder_ / "engine.sock").string(); }
  void WriteToken(const std::string& token) const;
  void Listen();  // until then nobody is there

  static constexpr uint64_t kEpoch = 41;

  // Once a rank has attached; fails the test after 10 s.
  bool Send(const internal::EngineCommand& command);
  internal::Register WaitForRegistration();
  // The next event behind the registration; fails the test after 10 s.
  internal::EngineEvent NextEvent();
  internal::EngineEvent NextEvent(internal::EngineEvent::EventCase kind);  // skips others
  // Stops reading, so that what the rank writes piles up; or goes on.
  void Pause();
  void Resume();
  void Close(const grpc::Status& status);  // ends the channel from this side
  bool WaitForEnd();                       // the rank has left

 private:
  grpc::Status Attach(grpc::ServerContext* context, Channel* channel) override;
  void ReadEvents(Channel& channel);

  template <typename Predicate>
  void WaitUntil(std::unique_lock<std::mutex>& lock, Predicate predicate);

  const Welcome welcome_;
  const std::string token_;
  std::filesystem::path folder_;
  std::unique_ptr<grpc::Server> server_;

  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<internal::EngineEvent> events_;
  std::unique_ptr<internal::Register> registration_;
  Channel* channel_ = nullptr;
  grpc::ServerContext* context_ = nullptr;
  bool paused_ = false;
  bool closing_ = false;
  bool ended_ = false;
  grpc::Status closing_status_;
};

}  // namespace phalanx::testing
