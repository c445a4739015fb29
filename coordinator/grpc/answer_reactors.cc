#include "coordinator/grpc/answer_reactors.h"

#include <grpcpp/server_context.h>

#include <mutex>
#include <utility>

#include "coordinator/core/collect.h"
#include "coordinator/grpc/wire.h"

namespace phalanx {
namespace {

Clock::time_point DeadlineOf(const grpc::CallbackServerContext& call) {
  const auto left = call.deadline() - std::chrono::system_clock::now();
  constexpr auto kForever = std::chrono::hours(24 * 365);
  return left > kForever ? Clock::time_point::max()
                         : Clock::now() + std::chrono::duration_cast<Clock::duration>(left);
}

// What both kinds of answer share; `Base` is gRPC's reactor.
template <typename Base>
class Answer : public Base, public Sink, public std::enable_shared_from_this<Answer<Base>> {
 public:
  explicit Answer(const AnswerContext& context)
      : frontend_(context.frontend), call_(context.call) {}

  void Run(const AnswerContext& context, Delivery delivery, StartRequest start) {
    self_ = this->shared_from_this();
    Caller caller{.deadline = DeadlineOf(*context.call), .delivery = delivery, .sink = self_};
    if (context.request_bytes <= kInlineBytes) {
      Begin(start(std::move(caller)));
      return;
    }
    const PostResult posted = context.queue.Post(
        [this, start = std::move(start), caller = std::move(caller)] { Begin(start(caller)); });
    if (posted == PostResult::kFull) {
      Begin(ResourceExhaustedError("the queue of large requests is full"));
    }
  }

  void OnReady() override { Pump(); }

  void Abort() override {
    std::lock_guard lock(call_mu_);
    if (call_ != nullptr) call_->TryCancel();
  }

  void OnCancel() override {
    std::shared_ptr<Stream> stream;
    {
      std::lock_guard lock(mu_);
      cancelled_ = true;
      stream = stream_;
    }
    if (stream != nullptr) frontend_.Cancel(*stream);
  }

  void OnDone() override {
    {
      std::lock_guard lock(call_mu_);
      call_ = nullptr;
    }
    const std::shared_ptr<Sink> self = std::move(self_);
    if (stream_ != nullptr) frontend_.Release(*stream_);
    stream_ = nullptr;
  }

 protected:
  // The next thing to do with what the stream has; `lock` holds mu_ and is released before gRPC is
  // called.
  virtual void Deliver(std::unique_lock<std::mutex>& lock) = 0;

  void Pump() {
    std::unique_lock lock(mu_);
    if (stream_ != nullptr && !busy_) Deliver(lock);
  }

  Frontend& frontend_;
  std::mutex mu_;
  std::shared_ptr<Stream> stream_;  // set once, by Begin
  bool busy_ = false;               // a write or the finish is under way

 private:
  void Begin(StatusOr<std::shared_ptr<Stream>> started) {
    if (!started.ok()) {
      this->Finish(ToGrpc(started.status()));
      return;
    }
    bool cancelled = false;
    {
      std::lock_guard lock(mu_);
      stream_ = *started;
      cancelled = cancelled_;
    }
    if (cancelled) frontend_.Cancel(**started);
    Pump();
  }

  std::mutex call_mu_;  // apart from mu_: a cancelled call may report back at once
  grpc::CallbackServerContext* call_;
  std::shared_ptr<Sink> self_;
  bool cancelled_ = false;
};

class StreamAnswer final : public Answer<grpc::ServerWriteReactor<grpc::ByteBuffer>> {
 public:
  using Answer::Answer;

  void OnWriteDone(bool ok) override {
    if (!ok) frontend_.Cancel(*stream_);
    stream_->Written();
    {
      std::lock_guard lock(mu_);
      busy_ = false;
    }
    Pump();
  }

 protected:
  void Deliver(std::unique_lock<std::mutex>& lock) override {
    Status status;
    switch (stream_->Next(&message_, &status)) {
      case Stream::NextResult::kNothing:
        return;
      case Stream::NextResult::kMessage:
        busy_ = true;
        Serialize(message_, &buffer_);
        lock.unlock();
        StartWrite(&buffer_);
        return;
      case Stream::NextResult::kEnd:
        busy_ = true;
        lock.unlock();
        Finish(ToGrpc(status));
        return;
    }
  }

 private:
  v1::StreamResponse message_;
  grpc::ByteBuffer buffer_;
};

class WholeAnswer final : public Answer<grpc::ServerUnaryReactor> {
 public:
  WholeAnswer(const AnswerContext& context, grpc::ByteBuffer* response)
      : Answer(context), buffer_(response) {}

 protected:
  void Deliver(std::unique_lock<std::mutex>& lock) override {
    v1::StreamResponse message;
    Status status;
    while (true) {
      const Stream::NextResult next = stream_->Next(&message, &status);
      if (next == Stream::NextResult::kNothing) return;
      if (next == Stream::NextResult::kEnd) break;
      AddMessage(&message, &response_);
    }
    busy_ = true;
    if (status.ok()) {
      response_.set_model(frontend_.model().id());
      Serialize(response_, buffer_);
    }
    lock.unlock();
    Finish(ToGrpc(status));
  }

 private:
  v1::GenerateResponse response_;
  grpc::ByteBuffer* buffer_;  // valid until the finish
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartStreamAnswer(const AnswerContext& context,
                                                              StartRequest start) {
  const auto answer = std::make_shared<StreamAnswer>(context);
  answer->Run(context, Delivery::kIncremental, std::move(start));
  return answer.get();
}

grpc::ServerUnaryReactor* StartWholeAnswer(const AnswerContext& context, StartRequest start,
                                           grpc::ByteBuffer* response) {
  const auto answer = std::make_shared<WholeAnswer>(context, response);
  answer->Run(context, Delivery::kWhole, std::move(start));
  return answer.get();
}

}  // namespace phalanx
