// A worker group that needs no model: it attaches to a coordinator's engine socket as rank 0 does
// and says what a test tells it to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "phalanx/internal/engine.pb.h"

namespace phalanx::testing {

// Called on the engine's thread.
struct FakeEngineHandlers {
  std::function<void(const internal::Submit&)> on_submit = [](const auto&) {};
  std::function<void(uint64_t request)> on_cancel = [](uint64_t) {};
  std::function<void()> on_drain = [] {};
};

// Thread-safe.
class FakeEngine {
 public:
  // A registration that a coordinator accepts for a model of `vocab_size`.
  static internal::Register DefaultRegistration(int32_t vocab_size);

  // Dials `socket` and registers; the token is read from SOCKET.token unless `registration` has
  // one.
  FakeEngine(const std::filesystem::path& socket, internal::Register registration,
             FakeEngineHandlers handlers);
  ~FakeEngine();  // leaves, as a killed worker does
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  // True once welcomed; false: refused, and `error` says why.
  bool WaitForWelcome();
  std::string error() const;
  uint64_t epoch() const;

  // One output with these tokens from `first_index` on.
  static internal::RequestOutput Output(
      uint64_t request, int32_t first_index, const std::vector<int32_t>& tokens,
      internal::EngineFinish finish = internal::ENGINE_FINISH_NONE);
  void Send(internal::RequestOutput output);        // a step of its own, in this epoch
  void SendStep(const internal::StepOutput& step);  // as it is
  void SendStats(const internal::EngineStats& stats);
  void SendFatal(const std::string& message);
  void Leave();  // closes the channel
  // From its start it sends pulses that say that all is well, until Hush().
  void Hush();
  void SendPulse(const internal::Pulse& pulse);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace phalanx::testing
