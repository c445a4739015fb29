// The engine half of the request path: the attached worker group, what it was given and has not
// ended, and every open stream until its reader lets go of it.
//
// The seam to the client half (frontend.h) is a Stream: the client half makes it out of a checked
// request and never looks at the group, this half submits it, feeds it and ends it and never looks
// at a request. The seam to the group is EngineSession and the four calls below it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "coordinator/core/admission.h"
#include "coordinator/core/engine_session.h"
#include "coordinator/core/fair_share.h"
#include "coordinator/core/group_health.h"
#include "coordinator/core/limits.h"
#include "coordinator/core/places_log.h"
#include "coordinator/core/request_observer.h"
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

struct DispatcherOptions {
  Limits limits;
  int32_t vocab_size = 0;  // of the served model; a group must have the same
  // After each change; from any thread, one call at a time. Must not call back.
  std::function<void(ServingState)> on_state = [](ServingState) {};
  std::shared_ptr<RequestObserver> observer = std::make_shared<RequestObserver>();
};

// Thread-safe.
class Dispatcher {
 public:
  explicit Dispatcher(DispatcherOptions options);
  ~Dispatcher();
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Client half.
  // RESOURCE_EXHAUSTED (see Admission), UNAVAILABLE (loading, draining, group lost),
  // DEADLINE_EXCEEDED. Of a request whose prompt is not tokenized yet.
  Status CheckAdmission(const ApiKeyPtr& key, int32_t num_choices, int64_t most_prompt_tokens,
                        Clock::time_point deadline);
  // The first of that many ids that no other request has.
  uint64_t NewRequests(int32_t num_choices);
  // Checks admission once more and hands every choice to the group.
  Status Submit(const std::shared_ptr<Stream>& stream);
  // The client went away or its deadline passed. No effect on a stream that has ended.
  void Cancel(Stream& stream);
  // The stream's end has been written, or nobody reads it any more.
  void Release(Stream& stream);

  struct Snapshot {
    ServingState state = ServingState::kLoading;
    std::string state_reason;                // why it is kUnavailable; else empty
    uint64_t epoch = 0;                      // of `session`
    std::shared_ptr<EngineSession> session;  // null: none is attached
    internal::EngineStats stats;
    int64_t num_open = 0;        // streams, until their last message is written
    int64_t waiting_tokens = 0;  // of prompts without a first token
  };
  Snapshot snapshot() const;
  ServingState state() const;

  // Group. Attach gives the epoch; ALREADY_EXISTS while a group is attached, FAILED_PRECONDITION
  // where the group serves another model, UNAVAILABLE while draining.
  StatusOr<uint64_t> Attach(std::shared_ptr<EngineSession> session);
  void OnStep(const EngineSession& session, const internal::StepOutput& step);
  void OnStats(const EngineSession& session, const internal::EngineStats& stats);
  void OnPulse(const EngineSession& session, const internal::Pulse& pulse);
  // Ends every open stream with UNAVAILABLE and `reason`; only the first call for a session counts.
  void Detach(const EngineSession& session, std::string_view reason);

  // Shutting down: new requests are refused, admitted ones go on, the group is told to leave.
  void StartDrain();
  bool WaitForStreams(std::chrono::milliseconds timeout);  // true: none is open
  bool WaitForDetach(std::chrono::milliseconds timeout);   // true: no group is attached
  void FailAll(const Status& status);

 private:
  // One choice that the group has.
  struct InFlight {
    std::shared_ptr<Stream> stream;
    int64_t waiting_tokens;  // the prompt's before its first token, counted with choice 0 alone
    int64_t fair_start;      // of FairShare
    int64_t output_paid;     // tokens that FairShare expects and that have not come
    int64_t num_output = 0;
    std::optional<Clock::time_point> begun;  // when its first token was there
  };
  using Requests = std::unordered_map<uint64_t, InFlight>;
  struct Target {
    std::shared_ptr<Stream> stream;
    int32_t choice;
    const internal::RequestOutput* output;
  };

  Status CheckAdmissionLocked(const ApiKeyPtr& key, Newcomer newcomer);
  Status CheckKeyLocked(const ApiKeyPtr& key, int32_t num_choices, Clock::time_point now);
  Load WaitingBehindLocked(const ApiKeyPtr& key) const;
  KeyShare ShareLocked(const ApiKeyPtr& key) const;
  void Fail(Stream& stream, const Status& status);
  void TakeTargets(const internal::StepOutput& step, Clock::time_point now);
  void Observe(const Target& target, const Stream::Accepted& accepted, Clock::time_point now) const;
  void EraseLocked(Requests::iterator request, Clock::time_point now);
  void CancelLocked(uint64_t request, Clock::time_point now);
  void SetStateLocked(ServingState state, std::string_view reason = {});
  void Monitor();
  void CheckStreams(Clock::time_point now);
  void CheckHealthLocked();
  std::vector<std::shared_ptr<Stream>> OpenStreams() const;
  std::vector<std::shared_ptr<Stream>> OpenStreamsLocked() const;

  const DispatcherOptions options_;

  mutable std::mutex mu_;
  std::condition_variable changed_;
  ServingState state_ = ServingState::kLoading;
  std::string state_reason_;  // while it is kUnavailable
  std::shared_ptr<EngineSession> session_;
  uint64_t epoch_;
  uint64_t next_request_ = 1;
  internal::EngineStats stats_;
  Admission admission_;
  FairShare fair_share_;
  std::unordered_map<std::string, int32_t> choices_of_key_;  // that the group has
  GroupHealth health_;
  PlacesLog places_log_;
  Requests requests_;                                                // by the engine's id
  std::unordered_map<const Stream*, std::shared_ptr<Stream>> open_;  // until released
  bool draining_ = false;
  bool stopping_ = false;
  std::vector<Target> targets_;  // of the step at hand; one channel thread at a time
  std::mutex step_mu_;
  std::thread monitor_;
};

}  // namespace phalanx
