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
  // INVALID_ARGUMENT or FAILED_PRECONDITION naming the flag and the file: not there, no such thing,
  // readable by others, expired, or a key of another certificate.
  static StatusOr<std::shared_ptr<TlsContext>> Load(const TlsFiles& files);

  // Reads the files again, for connections to come. An error changes nothing.
  Status Reload();
  // The server's side of a connection; null: out of memory. Does not own the socket.
  std::unique_ptr<Transport> Accept(int socket) const;

 private:
  explicit TlsContext(TlsFiles files) : files_(std::move(files)) {}

  const TlsFiles files_;
  mutable std::mutex mu_;
  std::shared_ptr<ssl_ctx_st> context_;
};

}  // namespace phalanx::http
