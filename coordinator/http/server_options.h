// Where the HTTP server listens, and the limits that keep one client from harming another.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "coordinator/core/refusal_log.h"
#include "coordinator/http/message_limits.h"

namespace phalanx::http {

class TlsContext;

struct Timeouts {
  std::chrono::milliseconds header{10'000};  // from a request's first byte to its last header
  std::chrono::milliseconds body{30'000};    // from there to the body's last byte
  std::chrono::milliseconds idle{60'000};    // between requests
  std::chrono::milliseconds stalled_write{60'000};  // a write of which the client takes nothing
  // After a refusal, for the client to read it while what it still sends is thrown away.
  std::chrono::milliseconds linger{2'000};
};

struct ServerOptions {
  std::string host = "127.0.0.1";  // empty: no TCP
  int port = 8000;                 // 0: a free one
  std::string unix_socket = {};    // a path; empty: none
  int num_threads = 2;
  size_t max_connections = 16'384;  // beyond them: 503 and close
  // Likewise of one address, 429. 0: a quarter of all, and of this host's own addresses all.
  size_t max_connections_per_address = 0;
  // Bodies that are arriving or being answered, over all connections; beyond them: 503.
  size_t max_body_memory_bytes = 256 << 20;
  // Of the next requests while one is being answered. More stays with the client.
  size_t max_read_ahead_bytes = 16 << 10;
  // In the kernel, which doubles it for its own records: 256 KiB a stream.
  int send_buffer_bytes = 128 << 10;
  std::shared_ptr<const TlsContext> tls = {};  // of TCP; null: plain
  std::shared_ptr<RefusalLog> refusals = std::make_shared<RefusalLog>();
  MessageLimits message = {};
  Timeouts timeouts = {};
};

}  // namespace phalanx::http
