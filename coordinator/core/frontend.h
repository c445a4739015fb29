// The one path that every request takes, whatever protocol brought it: check, tokenize, admit,
// submit, stream. This is its client half, all that a protocol's skin needs; dispatcher.h is the
// engine half.
//
//   Generate/Chat -> ResolveSampling, BuildPrompt, FitToContext -> Dispatcher::Submit ->
//   EngineSession::Submit OnStep -> Stream::Accept -> Sink::OnReady -> Stream::Next
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "coordinator/core/api_keys.h"
#include "coordinator/core/dispatcher.h"
#include "coordinator/core/limits.h"
#include "coordinator/core/refusal_log.h"
#include "coordinator/core/request_totals.h"
#include "coordinator/core/sampling.h"
#include "coordinator/core/served_model.h"
#include "coordinator/core/stream.h"
#include "kernels/base/status.h"

namespace phalanx {

struct FrontendOptions {
  Limits limits;
  // After each change; from any thread, one call at a time. Must not call back.
  std::function<void(ServingState)> on_state = [](ServingState) {};
  std::shared_ptr<RequestObserver> observer = std::make_shared<RequestObserver>();
  std::shared_ptr<const ApiKeys> keys = std::make_shared<ApiKeys>();
  std::shared_ptr<RefusalLog> refusals = std::make_shared<RefusalLog>();
};

// Where a request comes from.
struct Origin {
  FrontProtocol protocol = FrontProtocol::kHttp;
  std::string_view peer;  // for the log
};

// Who asks.
struct Caller {
  Clock::time_point deadline = Clock::time_point::max();
  Delivery delivery = Delivery::kIncremental;
  std::shared_ptr<Sink> sink;
  ApiKeyPtr key = {};
};

// Thread-safe.
class Frontend {
 public:
  // `model` must outlive it.
  Frontend(const ServedModel& model, FrontendOptions options);
  Frontend(const Frontend&) = delete;
  Frontend& operator=(const Frontend&) = delete;

  // For a skin, before anything else of a request: see ApiKeys. Refusals are counted and logged.
  StatusOr<ApiKeyPtr> Authenticate(std::string_view authorization, const Origin& origin) const;
  // PERMISSION_DENIED: what `key` asks for counts everybody's requests, and it may not read that.
  Status CheckMetrics(const ApiKeyPtr& key, const Origin& origin) const;

  // INVALID_ARGUMENT, NOT_FOUND (model), RESOURCE_EXHAUSTED (queue full, with a time to retry
  // after), UNAVAILABLE (loading, draining, group lost), DEADLINE_EXCEEDED.
  StatusOr<std::shared_ptr<Stream>> Generate(const v1::GenerateRequest& request, Caller caller);
  StatusOr<std::shared_ptr<Stream>> Chat(const v1::ChatRequest& request, Caller caller);
  // As Dispatcher's.
  void Cancel(Stream& stream) { dispatcher_.Cancel(stream); }
  void Release(Stream& stream) { dispatcher_.Release(stream); }

  StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request) const;
  StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request) const;
  StatusOr<v1::ModelInfo> GetModelInfo(const v1::GetModelInfoRequest& request) const;
  v1::ServerInfo GetServerInfo() const;
  ServingState state() const { return dispatcher_.state(); }
  const Limits& limits() const { return limits_; }
  const ServedModel& model() const { return model_; }

  // For an engine channel.
  Dispatcher& dispatcher() { return dispatcher_; }
  // For metrics.
  Dispatcher::Snapshot snapshot() const { return dispatcher_.snapshot(); }

  // Shutting down, as Dispatcher's.
  void StartDrain() { dispatcher_.StartDrain(); }
  bool WaitForStreams(std::chrono::milliseconds timeout) {
    return dispatcher_.WaitForStreams(timeout);
  }
  bool WaitForDetach(std::chrono::milliseconds timeout) {
    return dispatcher_.WaitForDetach(timeout);
  }
  void FailAll(const Status& status) { dispatcher_.FailAll(status); }

 private:
  // Start, of which the observer hears where it refuses.
  template <typename Request>
  StatusOr<std::shared_ptr<Stream>> StartObserved(const Request& request,
                                                  DefaultMaxTokens default_max_tokens,
                                                  Caller caller);
  template <typename Request>
  StatusOr<std::shared_ptr<Stream>> Start(const Request& request,
                                          DefaultMaxTokens default_max_tokens, Caller caller);
  Status CheckLabels(std::string_view label, std::string_view salt) const;
  int32_t ContextLength() const;

  const ServedModel& model_;
  const Limits limits_;
  const Clock::time_point start_;
  const std::shared_ptr<RequestTotals> observer_;
  const std::shared_ptr<const ApiKeys> keys_;
  const std::shared_ptr<RefusalLog> refusals_;
  const KeyDigest salt_secret_;
  Dispatcher dispatcher_;
};

}  // namespace phalanx
