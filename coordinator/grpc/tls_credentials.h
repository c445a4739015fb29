// A gRPC server's certificate, which can be replaced while it serves.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "coordinator/core/tls_files.h"

namespace phalanx {

// Thread-safe. Connections that are open keep the certificate that they began with.
class TlsCredentials : public grpc::ServerCredentials {
 public:
  // What was read before, and was found good.
  static std::shared_ptr<TlsCredentials> Create(const TlsMaterial& material);

  // Of connections to come. Whether clients need certificates stays as it was.
  virtual void Replace(const TlsMaterial& material) = 0;
};

}  // namespace phalanx
