// The certificate that both protocols serve with: read once, checked once, replaced together.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "coordinator/core/tls_files.h"
#include "coordinator/grpc/tls_credentials.h"
#include "coordinator/http/tls.h"
#include "kernels/base/status.h"

namespace phalanx {

class ServerCertificate {
 public:
  using OnExpiry = std::function<void(std::chrono::system_clock::time_point)>;

  // The errors of ReadTlsFiles and of TlsContext. `on_expiry` hears when the certificate expires,
  // now and after each Reload; the log is warned where that is soon.
  static StatusOr<std::unique_ptr<ServerCertificate>> Load(const TlsFiles& files,
                                                           OnExpiry on_expiry);

  std::shared_ptr<TlsCredentials> grpc() const { return grpc_; }
  std::shared_ptr<const http::TlsContext> http() const { return http_; }

  // Reads the files again, for connections to come. What is wrong is logged and changes nothing.
  void Reload();

 private:
  ServerCertificate(TlsFiles files, OnExpiry on_expiry)
      : files_(std::move(files)), on_expiry_(std::move(on_expiry)) {}
  void TellExpiry(std::chrono::system_clock::time_point expiry) const;

  const TlsFiles files_;
  const OnExpiry on_expiry_;
  std::shared_ptr<TlsCredentials> grpc_;
  std::shared_ptr<http::TlsContext> http_;
};

}  // namespace phalanx
