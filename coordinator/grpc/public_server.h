// The gRPC listener that clients reach: phalanx.v1.Inference, grpc.health.v1 and, on request,
// reflection.
#pragma once

#include <memory>
#include <string>

#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"
#include "coordinator/grpc/ipv4_listener.h"
#include "coordinator/grpc/tls_credentials.h"
#include "kernels/base/status.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace phalanx {

enum class Reflection { kOff, kOn };

struct PublicServerOptions {
  std::string host = "127.0.0.1";
  int port = 50051;            // 0: a free one
  std::string unix_path = {};  // not empty: a Unix socket instead of host and port
  Reflection reflection = Reflection::kOff;
  int32_t max_memory_bytes = 256 << 20;      // what all connections together may hold
  std::shared_ptr<TlsCredentials> tls = {};  // of TCP; null: none
};

class PublicServer {
 public:
  // FAILED_PRECONDITION: the address cannot be bound; the message says why. `frontend` and `queue`
  // must outlive it.
  static StatusOr<std::unique_ptr<PublicServer>> Start(const PublicServerOptions& options,
                                                       Frontend& frontend, TaskQueue& queue);
  ~PublicServer();
  PublicServer(const PublicServer&) = delete;
  PublicServer& operator=(const PublicServer&) = delete;

  // What clients dial: HOST:PORT or unix:PATH.
  const std::string& address() const { return address_; }
  // What grpc.health.v1 says of the whole server and of phalanx.v1.Inference.
  void SetServing(ServingState state);
  // Ends what is still open, and returns when it has ended.
  void Shutdown();

 private:
  PublicServer() = default;

  std::string address_;
  std::shared_ptr<TlsCredentials> tls_;  // which the server asks as long as it lives
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Ipv4Listener> listener_;  // where gRPC's own would open more
};

}  // namespace phalanx
