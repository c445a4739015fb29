#include "coordinator/grpc/tls_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <mutex>
#include <string>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

grpc_ssl_server_certificate_config* ToGrpc(const TlsMaterial& material) {
  const grpc_ssl_pem_key_cert_pair pair = {.private_key = material.key.c_str(),
                                           .cert_chain = material.certificate.c_str()};
  // gRPC insists on authorities also where clients are not asked for a certificate; these are then
  // never looked at.
  const std::string& authorities =
      material.client_authorities.empty() ? material.certificate : material.client_authorities;
  return grpc_ssl_server_certificate_config_create(authorities.c_str(), &pair, 1);
}

// gRPC's C++ layer offers files that it polls and takes as they are, whole or half; this is the
// same over its C layer, which asks for a configuration with each new connection.
class ReplaceableCredentials final : public TlsCredentials {
 public:
  explicit ReplaceableCredentials(const TlsMaterial& material) : material_(material) {
    const auto request = material.client_authorities.empty()
                             ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                             : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, Fetch, this));
    PHALANX_CHECK(credentials_ != nullptr);
  }
  ~ReplaceableCredentials() override { grpc_server_credentials_release(credentials_); }

  void Replace(const TlsMaterial& material) override {
    const std::lock_guard lock(mu_);
    material_ = material;
    is_fetched_ = false;
  }

  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto& credentials = *static_cast<ReplaceableCredentials*>(self);
    const std::lock_guard lock(credentials.mu_);
    if (credentials.is_fetched_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    *config = ToGrpc(credentials.material_);
    credentials.is_fetched_ = true;
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  std::mutex mu_;
  TlsMaterial material_;     // guarded by mu_
  bool is_fetched_ = false;  // guarded by mu_
  grpc_server_credentials* credentials_ = nullptr;
};

}  // namespace

std::shared_ptr<TlsCredentials> TlsCredentials::Create(const TlsMaterial& material) {
  return std::make_shared<ReplaceableCredentials>(material);
}

}  // namespace phalanx
