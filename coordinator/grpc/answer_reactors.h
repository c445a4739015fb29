// The gRPC skins of one request: a stream of messages, or the whole answer at the end.
//
// A reactor lives until gRPC is done with the call and the request path has let go of it.
#pragma once

#include <functional>
#include <memory>

#include "coordinator/core/frontend.h"
#include "coordinator/grpc/request_reactor.h"

namespace phalanx {

// Hands the request, once it is parsed, to the front.
using StartRequest =
    std::function<StatusOr<std::shared_ptr<Stream>>(const grpc::ByteBuffer& request, Caller)>;

struct AnswerContext {
  Frontend& frontend;
  TaskQueue& queue;  // for large requests
  grpc::CallbackServerContext* call;
};

CallReactor* StartStreamAnswer(const AnswerContext& context, StartRequest start);
CallReactor* StartWholeAnswer(const AnswerContext& context, StartRequest start);

}  // namespace phalanx
