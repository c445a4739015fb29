// TLS 1.2 and 1.3 by OpenSSL: a certificate and its key, and, where clients have to show one, the
// authorities that theirs may come from.
#pragma once

#include <memory>
#include <mutex>

#include "coordinator/core/tls_files.h"
#include "coordinator/http/transport.h"
#include "kernels/base/status.h"

struct ssl_ctx_st;

namespace phalanx::http {

// Thread-safe.
class TlsContext {
 public:
  // INVALID_ARGUMENT where OpenSSL takes no such certificate, key or authority for a connection.
  static StatusOr<std::shared_ptr<TlsContext>> Create(const TlsMaterial& material);

  // For connections to come. An error changes nothing.
  Status Replace(const TlsMaterial& material);
  // The server's side of a connection; null: out of memory. Does not own the socket.
  std::unique_ptr<Transport> Accept(int socket) const;

 private:
  TlsContext() = default;

  mutable std::mutex mu_;
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace phalanx::http
