// health_watch ADDRESS: a line for each answer of grpc.health.v1's Watch about the whole server,
// until the server ends the call.
#include <grpcpp/grpcpp.h>

#include <cstdio>

#include "grpc/health/v1/health.grpc.pb.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  using grpc::health::v1::HealthCheckResponse;
  const auto stub = grpc::health::v1::Health::NewStub(
      grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const auto reader = stub->Watch(&context, {});
  for (HealthCheckResponse response; reader->Read(&response);) {
    std::puts(HealthCheckResponse::ServingStatus_Name(response.status()).c_str());
    std::fflush(stdout);
  }
  return 0;
}
