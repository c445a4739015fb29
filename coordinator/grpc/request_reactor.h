// A call of one request message, which is read only once it is known whose it is.
//
// gRPC's own unary reactors get a call with its message, however large: a stranger's as well. To
// these all calls are streams in both directions, which look the same on the wire and begin with
// the head alone. Of what a client sends unasked flow control lets 64 KiB in.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <functional>
#include <memory>

#include "coordinator/core/task_queue.h"
#include "kernels/base/status.h"

namespace phalanx {

using CallReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// Requests up to this size are handled by gRPC's own threads, which also carry all streams; larger
// ones may take longer than a millisecond and go to the queue.
inline constexpr size_t kInlineBytes = 16 << 10;

struct RequestContext {
  TaskQueue& queue;                            // for large requests
  std::chrono::milliseconds max_message_time;  // from the head to the end of the message
};

class RequestReactor : public CallReactor {
 public:
  explicit RequestReactor(const RequestContext& context);

  void OnReadDone(bool ok) final;

 protected:
  // The request is there. Once, from a thread of gRPC's or of the queue.
  virtual void Handle(const grpc::ByteBuffer& request) = 0;

 private:
  struct Waiting;  // shared with the alarm, which may go off beside the end of the call

  void HandleOnce();

  TaskQueue& queue_;
  grpc::ByteBuffer request_;
  const std::shared_ptr<Waiting> waiting_;
  grpc::Alarm alarm_;
};

// Ends the call without reading its message.
CallReactor* RefuseCall(const Status& status);

// Makes the response of a request that needs no stream.
using MakeResponse =
    std::function<Status(const grpc::ByteBuffer& request, grpc::ByteBuffer* response)>;
CallReactor* StartReply(const RequestContext& context, MakeResponse make);

}  // namespace phalanx
