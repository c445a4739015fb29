// TLS clients for benchmarks, over the sockets of http_client.h. They trust any server.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

struct ssl_ctx_st;
struct ssl_st;

namespace phalanx::bench {

class TlsClients {
 public:
  // `count` connections to a port of the loopback interface, each with its handshake done.
  TlsClients(int port, int count);
  ~TlsClients();
  TlsClients(const TlsClients&) = delete;
  TlsClients& operator=(const TlsClients&) = delete;

  void SendToAll(std::string_view text);
  // Reads from all until each had its last chunk.
  void Drain();

 private:
  struct Connection {
    int fd = -1;
    ssl_st* tls = nullptr;
  };
  // False: its last chunk was there, or its end.
  static bool ReadMore(const Connection& connection);

  ssl_ctx_st* context_;
  std::vector<Connection> connections_;
};

}  // namespace phalanx::bench
