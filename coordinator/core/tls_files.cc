#include "coordinator/core/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <memory>

namespace phalanx {
namespace {

struct Deleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <typename T>
using Owned = std::unique_ptr<T, Deleter>;

Status FileError(std::string_view flag, const std::filesystem::path& file) {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  Status status = InvalidArgumentError("{}: {}: {}", flag, file.string(),
                                       reason == nullptr ? "unknown" : reason);
  ERR_clear_error();
  return status;
}

StatusOr<std::string> ReadText(std::string_view flag, const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (!in) return InvalidArgumentError("{}: {}: cannot be read", flag, file.string());
  return text;
}

Owned<BIO> Reader(const std::string& text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A prompt for a pass phrase would wait for somebody at a terminal.
int NoPassPhrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) { return 0; }

Status CheckKeyMode(const std::filesystem::path& file) {
  struct stat state {};
  if (stat(file.c_str(), &state) != 0) {
    return InvalidArgumentError("--ssl-keyfile: {}: cannot be read", file.string());
  }
  if ((state.st_mode & 0077) == 0) return OkStatus();
  return FailedPreconditionError("--ssl-keyfile: {}: has mode {:04o}, allowed: 0600", file.string(),
                                 state.st_mode & 0777);
}

StatusOr<std::chrono::system_clock::time_point> CheckDates(const X509& certificate,
                                                           const std::filesystem::path& file) {
  std::tm end{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &end) != 1) {
    return FileError("--ssl-certfile", file);
  }
  const auto expiry = std::chrono::system_clock::from_time_t(timegm(&end));
  if (expiry <= std::chrono::system_clock::now()) {
    return InvalidArgumentError("--ssl-certfile: {}: has expired, on {:04}-{:02}-{:02}",
                                file.string(), end.tm_year + 1900, end.tm_mon + 1, end.tm_mday);
  }
  if (X509_cmp_current_time(X509_get0_notBefore(&certificate)) > 0) {
    return InvalidArgumentError("--ssl-certfile: {}: is not valid yet", file.string());
  }
  return expiry;
}

}  // namespace

StatusOr<TlsMaterial> ReadTlsFiles(const TlsFiles& files) {
  ERR_clear_error();
  TlsMaterial material;
  PHALANX_ASSIGN_OR_RETURN(material.certificate, ReadText("--ssl-certfile", files.certificate));
  const Owned<BIO> certificates = Reader(material.certificate);
  const Owned<X509> certificate(
      PEM_read_bio_X509_AUX(certificates.get(), nullptr, NoPassPhrase, nullptr));
  if (certificate == nullptr) return FileError("--ssl-certfile", files.certificate);
  PHALANX_ASSIGN_OR_RETURN(material.expiry, CheckDates(*certificate, files.certificate));

  PHALANX_RETURN_IF_ERROR(CheckKeyMode(files.key));
  PHALANX_ASSIGN_OR_RETURN(material.key, ReadText("--ssl-keyfile", files.key));
  const Owned<BIO> keys = Reader(material.key);
  const Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(keys.get(), nullptr, NoPassPhrase, nullptr));
  if (key == nullptr || X509_check_private_key(certificate.get(), key.get()) != 1) {
    return FileError("--ssl-keyfile", files.key);
  }

  if (files.client_authorities.empty()) return material;
  PHALANX_ASSIGN_OR_RETURN(material.client_authorities,
                           ReadText("--ssl-ca-certs", files.client_authorities));
  const Owned<BIO> authorities = Reader(material.client_authorities);
  const Owned<X509> authority(
      PEM_read_bio_X509_AUX(authorities.get(), nullptr, NoPassPhrase, nullptr));
  if (authority == nullptr) return FileError("--ssl-ca-certs", files.client_authorities);
  return material;
}

}  // namespace phalanx
