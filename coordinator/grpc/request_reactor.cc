#include "coordinator/grpc/request_reactor.h"

#include <chrono>
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
  Reply(TaskQueue& queue, MakeResponse make) : RequestReactor(queue), make_(std::move(make)) {}

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

void RequestReactor::OnReadDone(bool ok) {
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

CallReactor* StartReply(TaskQueue& queue, MakeResponse make) {
  return new Reply(queue, std::move(make));
}

}  // namespace phalanx
