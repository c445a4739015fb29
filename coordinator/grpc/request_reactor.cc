#include "coordinator/grpc/request_reactor.h"

#include <chrono>
#include <mutex>
#include <utility>

#include "coordinator/grpc/wire.h"

namespace phalanx {
namespace {

class RefusedCall final : public CallReactor {
 public:
  explicit RefusedCall(const Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

class Reply final : public RequestReactor {
 public:
  Reply(const RequestContext& context, MakeResponse make)
      : RequestReactor(context), make_(std::move(make)) {}

  void OnDone() override { delete this; }

 private:
  void Handle(const grpc::ByteBuffer& request) override {
    const Status status = make_(request, &response_);
    if (status.ok()) {
      StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
    } else {
      Finish(ToGrpc(status));
    }
  }

  const MakeResponse make_;
  grpc::ByteBuffer response_;  // valid until the call is done
};

}  // namespace

// gRPC may report the end of the read from within a call of Finish, to the same thread.
struct RequestReactor::Waiting {
  std::recursive_mutex mu;
  RequestReactor* reactor;  // null: the message is there, or the time is over
};

RequestReactor::RequestReactor(const RequestContext& context)
    : queue_(context.queue), waiting_(std::make_shared<Waiting>()) {
  waiting_->reactor = this;
  const auto limit = context.max_message_time;
  alarm_.Set(std::chrono::system_clock::now() + limit, [waiting = waiting_, limit](bool is_over) {
    const std::lock_guard lock(waiting->mu);
    if (!is_over || waiting->reactor == nullptr) return;
    std::exchange(waiting->reactor, nullptr)
        ->Finish(ToGrpc(DeadlineExceededError(
            "the message of the call did not come within {:g} s (--max-message-time)",
            std::chrono::duration<double>(limit).count())));
  });
  StartRead(&request_);
}

void RequestReactor::OnReadDone(bool ok) {
  {
    const std::lock_guard lock(waiting_->mu);
    if (std::exchange(waiting_->reactor, nullptr) == nullptr) return;
  }
  alarm_.Cancel();
  if (!ok) {
    Finish(ToGrpc(InvalidArgumentError("the call has no request message")));
  } else if (request_.Length() <= kInlineBytes) {
    HandleOnce();
  } else if (queue_.Post([this] { HandleOnce(); }) == PostResult::kFull) {
    Finish(ToGrpc(ResourceExhaustedError("too many large requests at once, try again later")
                      .WithRetryAfter(std::chrono::seconds(1))));
  }
}

void RequestReactor::HandleOnce() {
  grpc::ByteBuffer request;  // which an answer need not keep
  request.Swap(&request_);
  Handle(request);
}

CallReactor* RefuseCall(const Status& status) { return new RefusedCall(status); }

CallReactor* StartReply(const RequestContext& context, MakeResponse make) {
  return new Reply(context, std::move(make));
}

}  // namespace phalanx
