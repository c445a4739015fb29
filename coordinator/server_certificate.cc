#include "coordinator/server_certificate.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace phalanx {

StatusOr<std::unique_ptr<ServerCertificate>> ServerCertificate::Load(const TlsFiles& files,
                                                                     OnExpiry on_expiry) {
  PHALANX_ASSIGN_OR_RETURN(const TlsMaterial material, ReadTlsFiles(files));
  std::unique_ptr<ServerCertificate> self(new ServerCertificate(files, std::move(on_expiry)));
  PHALANX_ASSIGN_OR_RETURN(self->http_, http::TlsContext::Create(material));
  self->grpc_ = TlsCredentials::Create(material);
  self->TellExpiry(material.expiry);
  return self;
}

void ServerCertificate::Reload() {
  const StatusOr<TlsMaterial> material = ReadTlsFiles(files_);
  const Status status = material.ok() ? http_->Replace(*material) : material.status();
  if (!status.ok()) {
    spdlog::error("certificates stay as they were: {}", status.message());
    return;
  }
  grpc_->Replace(*material);
  spdlog::info("certificates: read again");
  TellExpiry(material->expiry);
}

void ServerCertificate::TellExpiry(std::chrono::system_clock::time_point expiry) const {
  constexpr std::chrono::days kSoon(30);
  on_expiry_(expiry);
  const auto left =
      std::chrono::floor<std::chrono::hours>(expiry - std::chrono::system_clock::now());
  if (left >= kSoon) return;
  spdlog::warn("--ssl-certfile: {}: expires in {} days and {} hours; renew it and send SIGHUP",
               files_.certificate.string(), left.count() / 24, left.count() % 24);
}

}  // namespace phalanx
