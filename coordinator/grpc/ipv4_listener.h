// All IPv4 addresses of the host, and they alone: gRPC's own listener opens those of IPv6, too,
// when asked for 0.0.0.0.
#pragma once

#include <grpcpp/server_builder.h>

#include <memory>
#include <thread>

#include "kernels/base/status.h"

namespace phalanx {

class Ipv4Listener {
 public:
  // `port` 0: the system chooses one. FAILED_PRECONDITION: it cannot be bound.
  static StatusOr<std::unique_ptr<Ipv4Listener>> Listen(int port);
  // Takes no more connections; those that it handed over go on.
  ~Ipv4Listener();
  Ipv4Listener(const Ipv4Listener&) = delete;
  Ipv4Listener& operator=(const Ipv4Listener&) = delete;

  int port() const { return port_; }
  // Hands what connects to a server that has started. Once.
  using Server = std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor>;
  void Start(Server server);

 private:
  Ipv4Listener() = default;
  void Accept();

  int listen_fd_ = -1;
  int wake_fd_ = -1;
  int port_ = 0;
  Server server_;
  std::thread thread_;
};

}  // namespace phalanx
