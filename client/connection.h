// How a subcommand reaches the server, and what its errors mean for the exit code.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "kernels/base/status.h"
#include "phalanx/v1/inference.grpc.pb.h"

namespace CLI {
class App;
}

namespace phalanx {

enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,
  kExitInvalid = 2,        // usage, or the server's INVALID_ARGUMENT or NOT_FOUND
  kExitUnavailable = 3,    // no server, or one that cannot serve now
  kExitInterrupted = 130,  // Ctrl-C, as a shell says of a program that SIGINT ended
};

struct ConnectionFlags {
  std::string server = "127.0.0.1:50051";  // HOST:PORT or unix:PATH
  double timeout_seconds = 0;              // 0: none
  std::string api_key = {};                // of PHALANX_API_KEY; empty: none is sent
  // PEM. Authorities to trust; empty: no TLS.
  std::string authorities = {};
  std::string certificate = {};  // this client's, where the server asks for one
  std::string key = {};
};

void AddConnectionFlags(CLI::App& app, ConnectionFlags& flags);

std::unique_ptr<v1::Inference::StubInterface> Connect(const ConnectionFlags& flags);

// Sets the deadline and says who asks.
void Prepare(grpc::ClientContext& context, const ConnectionFlags& flags);

// The server's error, with the field that google.rpc.BadRequest names.
Status FromGrpc(const grpc::Status& status);

ExitCode ExitCodeOf(const Status& status);

// Prints "phalanx: CODE: message" to standard error, and the field where the message lacks it.
ExitCode ReportError(const Status& status);

// Likewise for what a call ended with; gRPC's own words for a broken connection are followed by
// what they mean here.
ExitCode ReportError(const Status& status, const ConnectionFlags& connection);

}  // namespace phalanx
