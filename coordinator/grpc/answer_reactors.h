// The gRPC skins of one request: a stream of messages, or the whole answer at the end.
//
// A reactor lives until gRPC is done with the call and the request path has let go of it.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>

#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"

namespace phalanx {

// Requests up to this size are handled by gRPC's own threads, which also carry all streams; larger
// ones may take longer than a millisecond and go to the queue.
inline constexpr size_t kInlineBytes = 16 << 10;

// Hands the parsed request to the front.
using StartRequest = std::function<StatusOr<std::shared_ptr<Stream>>(Caller)>;

struct AnswerContext {
  Frontend& frontend;
  TaskQueue& queue;  // for large requests
  grpc::CallbackServerContext* call;
  size_t request_bytes;
};

grpc::ServerWriteReactor<grpc::ByteBuffer>* StartStreamAnswer(const AnswerContext& context,
                                                              StartRequest start);
grpc::ServerUnaryReactor* StartWholeAnswer(const AnswerContext& context, StartRequest start,
                                           grpc::ByteBuffer* response);

}  // namespace phalanx
