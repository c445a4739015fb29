// A call whose message never comes.
#pragma once

#include <fmt/format.h>
#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <memory>
#include <string_view>

namespace phalanx::testing {

// Sends the head of a call of phalanx.v1.Inference and nothing more, and waits for its end, at most
// 20 s.
inline grpc::Status CallWithoutMessage(const std::shared_ptr<grpc::Channel>& channel,
                                       grpc::ClientContext& context, std::string_view method) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  const auto call =
      stub.PrepareCall(&context, fmt::format("/phalanx.v1.Inference/{}", method), &queue);
  grpc::Status status(grpc::StatusCode::UNKNOWN, "the call has no end");
  call->StartCall(&context);
  call->Finish(&status, &status);
  void* tag = nullptr;
  for (bool ok = false; tag != &status && queue.Next(&tag, &ok);) {
  }
  queue.Shutdown();
  return status;
}

}  // namespace phalanx::testing
