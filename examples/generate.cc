// The shortest useful C++ client: streams one answer to standard output.
//
//   example_generate HOST:PORT "Once upon a time"
#include <grpcpp/create_channel.h>

#include <iostream>

#include "phalanx/v1/inference.grpc.pb.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: example_generate HOST:PORT PROMPT\n";
    return 2;
  }
  const auto stub = phalanx::v1::Inference::NewStub(
      grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));

  phalanx::v1::GenerateRequest request;
  request.set_text(argv[2]);
  request.mutable_sampling()->set_max_tokens(48);
  request.mutable_sampling()->set_temperature(0);

  grpc::ClientContext context;
  const auto reader = stub->GenerateStream(&context, request);
  phalanx::v1::StreamResponse message;
  while (reader->Read(&message)) std::cout << message.text_delta() << std::flush;
  const grpc::Status status = reader->Finish();
  std::cout << '\n';
  if (!status.ok()) std::cerr << status.error_message() << '\n';
  return status.ok() ? 0 : 1;
}
