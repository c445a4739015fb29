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

// What both kinds of answer share.
class Answer : public RequestReactor, public Sink, public std::enable_shared_from_this<Answer> {
 public:
  Answer(const AnswerContext& context, Delivery delivery, StartRequest start)
      : RequestReactor({context.queue, context.frontend.limits().max_message_time}),
        frontend_(context.frontend),
        call_(context.call),
        deadline_(DeadlineOf(*context.call)),
        delivery_(delivery),
        start_(std::move(start)) {}

  // Until gRPC is done with the call.
  void KeepAlive() { self_ = shared_from_this(); }

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
    std::shared_ptr<Stream> stream;
    {
      std::lock_guard lock(mu_);
      stream.swap(stream_);
    }
    if (stream != nullptr) frontend_.Release(*stream);
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
  std::shared_ptr<Stream> stream_;  // set once, by Handle
  bool busy_ = false;               // a write or the finish is under way

 private:
  void Handle(const grpc::ByteBuffer& request) override {
    const auto self = shared_from_this();  // the stream may end before this function does
    const auto started =
        start_(request, Caller{.deadline = deadline_, .delivery = delivery_, .sink = self});
    if (!started.ok()) {
      Finish(ToGrpc(started.status()));
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
  const Clock::time_point deadline_;
  const Delivery delivery_;
  const StartRequest start_;
  std::shared_ptr<Sink> self_;
  bool cancelled_ = false;
};

class StreamAnswer final : public Answer {
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

class WholeAnswer final : public Answer {
 public:
  using Answer::Answer;

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
    stream_->BeginWrite();
    lock.unlock();
    if (!status.ok()) return Finish(ToGrpc(status));
    response_.set_model(frontend_.model().id());
    Serialize(response_, &buffer_);
    StartWriteAndFinish(&buffer_, grpc::WriteOptions(), grpc::Status::OK);
  }

 private:
  v1::GenerateResponse response_;
  grpc::ByteBuffer buffer_;  // valid until the call is done
};

template <typename Kind>
CallReactor* Start(const AnswerContext& context, Delivery delivery, StartRequest start) {
  const auto answer = std::make_shared<Kind>(context, delivery, std::move(start));
  answer->KeepAlive();
  return answer.get();
}

}  // namespace

CallReactor* StartStreamAnswer(const AnswerContext& context, StartRequest start) {
  return Start<StreamAnswer>(context, Delivery::kIncremental, std::move(start));
}

CallReactor* StartWholeAnswer(const AnswerContext& context, StartRequest start) {
  return Start<WholeAnswer>(context, Delivery::kWhole, std::move(start));
}

}  // namespace phalanx
