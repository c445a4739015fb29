// Between this project's types and gRPC's.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <chrono>

#include "kernels/base/status.h"

namespace phalanx {

// The code, the message and, in grpc-status-details-bin, a google.rpc.BadRequest naming the field
// where there is one, or a google.rpc.RetryInfo where it says when to try again.
grpc::Status ToGrpc(const Status& status);

// INVALID_ARGUMENT where the bytes are no such message, or a string in it is not UTF-8: then the
// field is named.
Status Parse(const grpc::ByteBuffer& buffer, google::protobuf::Message* message);
void Serialize(const google::protobuf::Message& message, grpc::ByteBuffer* buffer);

}  // namespace phalanx
