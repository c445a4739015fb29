// A call whose message never comes.
#pragma once

#include <fmt/format.h>
#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <memory>
#include <string_view>

namespace phalanx::testing {

// Until the operations that use the queue have ended, in whatever order. Each holds memory until it
// is taken from there.
inline void TakeAll(grpc::CompletionQueue& queue) {
  queue.Shutdown();
  void* tag = nullptr;
  for (bool ok = false; queue.Next(&tag, &ok);) {
  }
}

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
  TakeAll(queue);
  return status;
}

}  // namespace phalanx::testing
