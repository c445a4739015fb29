// A call of one request message, which is read only once it is known whose it is.
//
// gRPC's own unary reactors get a call with its message, however large: a stranger's as well. To
// these all calls are streams in both directions, which look the same on the wire and begin with
// the head alone. Of what a client sends unasked flow control lets 64 KiB in.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <functional>

#include "coordinator/core/task_queue.h"
#include "kernels/base/status.h"

namespace phalanx {

using CallReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// Requests up to this size are handled by gRPC's own threads, which also carry all streams; larger
// ones may take longer than a millisecond and go to the queue.
inline constexpr size_t kInlineBytes = 16 << 10;

class RequestReactor : public CallReactor {
 public:
  explicit RequestReactor(TaskQueue& queue) : queue_(queue) { StartRead(&request_); }

  void OnReadDone(bool ok) final;

 protected:
  // The request is there. Once, from a thread of gRPC's or of the queue.
  virtual void Handle(const grpc::ByteBuffer& request) = 0;

 private:
  void HandleOnce();

  TaskQueue& queue_;
  grpc::ByteBuffer request_;
};

// Ends the call without reading its message.
CallReactor* RefuseCall(const Status& status);

// Makes the response of a request that needs no stream.
using MakeResponse =
    std::function<Status(const grpc::ByteBuffer& request, grpc::ByteBuffer* response)>;
CallReactor* StartReply(TaskQueue& queue, MakeResponse make);

}  // namespace phalanx
