// An HTTP/1.1 server (RFC 9110, RFC 9112): a few threads for thousands of connections, each of
// which lives on one of them. HTTP/1.0 is served without keep-alive, HTTP/2 is refused.
//
// What arrives is bounded and timed by ServerOptions; what breaks a rule is answered with the API's
// error body and ends its connection, without a handler hearing of it. Requests of one connection
// are answered in order, one at a time.
#pragma once

#include <chrono>
#include <memory>

#include "coordinator/http/exchange.h"
#include "coordinator/http/server_options.h"
#include "kernels/base/status.h"

namespace phalanx::http {

// Thread-safe, but Shutdown, StopAccepting and the destructor must not be called by the handler.
class Server {
 public:
  // Errors: INVALID_ARGUMENT (an option, an address that is not this host's), UNAVAILABLE (in use);
  // they name the address.
  static StatusOr<std::unique_ptr<Server>> Start(ServerOptions options,
                                                 std::shared_ptr<Handler> handler);

  // Cuts what is left.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;  // of TCP; 0 without
  size_t num_connections() const;

  // When it returns the addresses are free. Connections go on.
  void StopAccepting();

  // Stops accepting, closes idle connections at once and the others after the answer that is under
  // way; at the deadline cuts what is left. When it returns no thread runs.
  void Shutdown(std::chrono::steady_clock::time_point deadline);

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace phalanx::http
