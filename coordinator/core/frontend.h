// The one path that every request takes, whatever protocol brought it: check, tokenize, admit,
// submit, stream. Also the side that an engine channel talks to.
//
//   Generate/Chat -> ResolveSampling, BuildPrompt, FitToContext -> admission ->
//   EngineSession::Submit OnStep -> Stream::Accept -> Sink::OnReady -> Stream::Next
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "coordinator/core/engine_session.h"
#include "coordinator/core/limits.h"
#include "coordinator/core/served_model.h"
#include "coordinator/core/stream.h"
#include "kernels/base/status.h"

namespace phalanx {

enum class ServingState {
  kLoading,      // no worker group has registered yet
  kReady,        // requests are taken
  kDraining,     // what was admitted is being finished
  kUnavailable,  // the group is gone, or makes no progress
};

std::string_view Name(ServingState state);

struct FrontendOptions {
  Limits limits;
  // After each change; from any thread, one call at a time. Must not call back.
  std::function<void(ServingState)> on_state = [](ServingState) {};
};

// Who asks.
struct Caller {
  Clock::time_point deadline = Clock::time_point::max();
  Delivery delivery = Delivery::kIncremental;
  std::shared_ptr<Sink> sink;
};

// Thread-safe.
class Frontend {
 public:
  // `model` must outlive it.
  Frontend(const ServedModel& model, FrontendOptions options);
  ~Frontend();
  Frontend(const Frontend&) = delete;
  Frontend& operator=(const Frontend&) = delete;

  // Clients. INVALID_ARGUMENT, NOT_FOUND (model), RESOURCE_EXHAUSTED (queue full, see RetryDelay),
  // UNAVAILABLE (loading, draining, group lost), DEADLINE_EXCEEDED.
  StatusOr<std::shared_ptr<Stream>> Generate(const v1::GenerateRequest& request, Caller caller);
  StatusOr<std::shared_ptr<Stream>> Chat(const v1::ChatRequest& request, Caller caller);
  // The client went away or its deadline passed. No effect on a stream that has ended.
  void Cancel(Stream& stream);
  // The stream's end has been written, or nobody reads it any more.
  void Release(Stream& stream);
  // When a request refused for a full queue may be worth repeating.
  std::chrono::milliseconds RetryDelay() const;

  StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request) const;
  StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request) const;
  StatusOr<v1::ModelInfo> GetModelInfo(const v1::GetModelInfoRequest& request) const;
  v1::ServerInfo GetServerInfo() const;
  ServingState state() const;
  const Limits& limits() const { return options_.limits; }
  const ServedModel& model() const { return model_; }

  // Engine channel. Attach gives the epoch; ALREADY_EXISTS while a group is attached,
  // FAILED_PRECONDITION where the group serves another model, UNAVAILABLE while draining.
  StatusOr<uint64_t> Attach(std::shared_ptr<EngineSession> session);
  void OnStep(const EngineSession& session, const internal::StepOutput& step);
  void OnStats(const EngineSession& session, const internal::EngineStats& stats);
  // Ends every open stream with UNAVAILABLE and `reason`; only the first call for a session counts.
  void Detach(const EngineSession& session, std::string_view reason);

  // Shutting down: new requests are refused, admitted ones go on, the group is told to leave.
  void StartDrain();
  bool WaitForStreams(std::chrono::milliseconds timeout);  // true: none is open
  bool WaitForDetach(std::chrono::milliseconds timeout);   // true: no group is attached
  void FailAll(const Status& status);

 private:
  struct Target {
    std::shared_ptr<Stream> stream;
    int32_t choice;
    const internal::RequestOutput* output;
  };

  StatusOr<std::shared_ptr<Stream>> Admit(RequestParams params, Prompt prompt, StreamInit init);
  StreamInit NewInit(std::string label, int32_t priority, std::string salt, Caller caller) const;
  Status CheckAdmission(int32_t num_choices, Clock::time_point deadline) const;
  Status CheckAdmissionLocked(int32_t num_choices, Clock::time_point deadline) const;
  Status CheckLabels(std::string_view label, std::string_view salt) const;
  int32_t ContextLengthLocked() const;
  void Fail(Stream& stream, const Status& status);
  void SetStateLocked(ServingState state);
  void Monitor();
  void CheckStreams(Clock::time_point now);
  void CheckProgress(Clock::time_point now);
  void Progressed(Clock::time_point now);
  std::vector<std::shared_ptr<Stream>> OpenStreams() const;
  std::vector<std::shared_ptr<Stream>> OpenStreamsLocked() const;

  const ServedModel& model_;
  const FrontendOptions options_;
  const std::string id_prefix_;

  mutable std::mutex mu_;
  std::condition_variable changed_;
  ServingState state_ = ServingState::kLoading;
  std::string lost_reason_;
  std::shared_ptr<EngineSession> session_;
  uint64_t epoch_;
  uint64_t next_request_ = 1;
  internal::EngineStats stats_;
  Clock::time_point last_progress_;
  std::unordered_map<uint64_t, std::shared_ptr<Stream>> requests_;   // by the engine's id: running
  std::unordered_map<const Stream*, std::shared_ptr<Stream>> open_;  // until released
  Clock::time_point last_completion_;
  double completion_interval_s_ = 1.0;  // a moving average
  bool draining_ = false;
  bool stopping_ = false;
  std::vector<Target> targets_;  // of the step at hand; one channel thread at a time
  std::mutex step_mu_;
  std::thread monitor_;
};

}  // namespace phalanx
