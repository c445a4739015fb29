// One answer under way: from the request path's streams to the exchange, whole or as server-sent
// events.
//
//   OnReady -> Stream::Next -> AnswerFormat -> Exchange::Send
//                                           \-> Exchange::Stream, then Wake and Pull
//
// The head of a streamed answer goes out with its first message, so that what fails before it has
// a status of its own.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"
#include "coordinator/http/exchange.h"
#include "coordinator/openai/answer_format.h"

namespace phalanx::openai {

struct AnswerInit {
  AnswerInit(Frontend& front, TaskQueue& tasks, std::shared_ptr<http::Exchange> to,
             std::unique_ptr<AnswerFormat> as)
      : frontend(front), queue(tasks), exchange(std::move(to)), format(std::move(as)) {}

  Frontend& frontend;  // both must outlive the answer
  TaskQueue& queue;    // writes large answers, which would hold up the worker group's channel
  std::shared_ptr<http::Exchange> exchange;
  std::unique_ptr<AnswerFormat> format;
  AnswerHead head;  // the id is the first stream's
  ApiKeyPtr key = {};
  std::string request_id;  // the client's; empty: the server's is reported
  Delivery delivery = Delivery::kWhole;
  bool return_token_ids = false;
};

// Hands one prompt to the request path.
using StartPart = std::function<StatusOr<std::shared_ptr<Stream>>(Caller)>;

// The streams' sinks and the exchange keep it alive until the answer is written or its reader gone.
class Answer final : public http::BodySource,
                     public http::Exchange::Watcher,
                     public std::enable_shared_from_this<Answer> {
 public:
  explicit Answer(AnswerInit init) : init_(std::move(init)) {}

  // Starts all parts, or answers with the error of the first that cannot. Once.
  void Run(const std::vector<StartPart>& starts);

  void OnGone() override;
  PullResult Pull(std::string* out) override;
  void Done(Outcome outcome) override;

 private:
  struct Part {
    std::shared_ptr<Stream> stream;
    v1::GenerateResponse whole;
    bool ended = false;
  };
  class PartSink;
  enum class Phase {
    kStarting,   // not all streams are there
    kWaiting,    // for the end, or for the first message
    kStreaming,  // the exchange pulls
    kFinished,
  };

  void Begin();
  void Advance();
  // What all streams have; the status is the error that ends the answer.
  Status Collect(std::string* out);
  bool AllEnded() const;
  bool IsLarge() const;
  void SendWhole();
  void SendError(const Status& status);
  void CancelParts();
  void ReleaseParts();
  http::Response Head() const;

  AnswerInit init_;
  std::atomic<Phase> phase_ = Phase::kStarting;  // changes under mu_
  std::mutex mu_;
  std::vector<Part> parts_;
  std::string buffer_;  // events that wait for the first pull
  bool gone_ = false;
  bool ended_ = false;  // buffer_ has the last of the events
};

}  // namespace phalanx::openai
