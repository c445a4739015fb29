#include "coordinator/http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace phalanx::http {
namespace {

using ContextPtr = std::shared_ptr<SSL_CTX>;

struct SslDeleter {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

// Of the last call that failed.
std::string Reason() {
  const unsigned long code = ERR_peek_last_error();
  const char* text = ERR_reason_error_string(code);
  ERR_clear_error();
  return text == nullptr ? "unknown" : text;
}

Status FileError(std::string_view flag, const std::filesystem::path& file) {
  return InvalidArgumentError("{}: {}: {}", flag, file.string(), Reason());
}

// A prompt for a pass phrase would wait for somebody at a terminal.
int NoPassPhrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) { return 0; }

Status CheckKeyModes(const std::filesystem::path& file) {
  struct stat state {};
  if (stat(file.c_str(), &state) != 0) {
    return InvalidArgumentError("--ssl-keyfile: {}: cannot be read", file.string());
  }
  if ((state.st_mode & 0077) == 0) return OkStatus();
  return FailedPreconditionError("--ssl-keyfile: {}: has mode {:04o}, allowed: 0600", file.string(),
                                 state.st_mode & 0777);
}

Status CheckDates(SSL_CTX* context, const std::filesystem::path& file) {
  const X509* certificate = SSL_CTX_get0_certificate(context);
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    return InvalidArgumentError("--ssl-certfile: {}: has expired", file.string());
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    return InvalidArgumentError("--ssl-certfile: {}: is not valid yet", file.string());
  }
  return OkStatus();
}

Status AskForCertificates(SSL_CTX* context, const std::filesystem::path& file) {
  if (SSL_CTX_load_verify_locations(context, file.c_str(), nullptr) != 1) {
    return FileError("--ssl-ca-certs", file);
  }
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(file.c_str());
  if (names == nullptr) return FileError("--ssl-ca-certs", file);
  SSL_CTX_set_client_CA_list(context, names);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return OkStatus();
}

// The one protocol of this server, where a client asks.
int ChooseProtocol(SSL* /*ssl*/, const unsigned char** chosen, unsigned char* chosen_size,
                   const unsigned char* offered, unsigned int offered_size, void* /*context*/) {
  static constexpr unsigned char kProtocols[] = "\x08http/1.1";
  unsigned char* found = nullptr;
  const int result = SSL_select_next_proto(&found, chosen_size, kProtocols, sizeof(kProtocols) - 1,
                                           offered, offered_size);
  *chosen = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

StatusOr<ContextPtr> ReadFiles(const TlsFiles& files) {
  ERR_clear_error();
  const ContextPtr context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (context == nullptr) return InternalError("TLS: {}", Reason());
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Released buffers: an idle connection holds none.
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_default_passwd_cb(raw, NoPassPhrase);
  SSL_CTX_set_alpn_select_cb(raw, ChooseProtocol, nullptr);
  constexpr unsigned char kSessions[] = "phalanx";
  SSL_CTX_set_session_id_context(raw, kSessions, sizeof(kSessions) - 1);
  if (SSL_CTX_use_certificate_chain_file(raw, files.certificate.c_str()) != 1) {
    return FileError("--ssl-certfile", files.certificate);
  }
  PHALANX_RETURN_IF_ERROR(CheckDates(raw, files.certificate));
  PHALANX_RETURN_IF_ERROR(CheckKeyModes(files.key));
  if (SSL_CTX_use_PrivateKey_file(raw, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(raw) != 1) {
    return FileError("--ssl-keyfile", files.key);
  }
  if (!files.client_authorities.empty()) {
    PHALANX_RETURN_IF_ERROR(AskForCertificates(raw, files.client_authorities));
  }
  return context;
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(ContextPtr context, std::unique_ptr<SSL, SslDeleter> ssl, int socket)
      : context_(std::move(context)), ssl_(std::move(ssl)), socket_(socket) {}

  IoResult Read(std::span<char> into) override {
    ERR_clear_error();
    return Result(SSL_read(ssl_.get(), into.data(), Length(into.size())));
  }
  IoResult Write(std::string_view data) override {
    ERR_clear_error();
    return Result(SSL_write(ssl_.get(), data.data(), Length(data.size())));
  }
  bool IsEstablished() const override { return SSL_is_init_finished(ssl_.get()) == 1; }
  bool HasPending() const override { return SSL_pending(ssl_.get()) > 0; }
  void End() override {
    ERR_clear_error();
    if (!failed_ && SSL_is_init_finished(ssl_.get()) == 1) SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }

 private:
  static int Length(size_t size) {
    return static_cast<int>(std::min<size_t>(size, std::numeric_limits<int>::max()));
  }

  IoResult Result(int count) {
    if (count > 0) return {IoState::kDone, static_cast<size_t>(count)};
    switch (SSL_get_error(ssl_.get(), count)) {
      case SSL_ERROR_WANT_READ:
        return {IoState::kNeedsRead};
      case SSL_ERROR_WANT_WRITE:
        return {IoState::kNeedsWrite};
      case SSL_ERROR_ZERO_RETURN:
        return {IoState::kEnd};
      default:
        failed_ = true;
        if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_HTTP_REQUEST) SayItIsTls();
        ERR_clear_error();
        return {IoState::kFailed};
    }
  }

  // To who speaks plain HTTP.
  void SayItIsTls() const {
    constexpr std::string_view kAnswer =
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 32\r\n"
        "Connection: close\r\n\r\nthis port speaks TLS: use https\n";
    ::send(socket_, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL);
  }

  const ContextPtr context_;
  const std::unique_ptr<SSL, SslDeleter> ssl_;
  const int socket_;
  bool failed_ = false;
};

}  // namespace

StatusOr<std::shared_ptr<TlsContext>> TlsContext::Load(const TlsFiles& files) {
  std::shared_ptr<TlsContext> context(new TlsContext(files));
  PHALANX_RETURN_IF_ERROR(context->Reload());
  return context;
}

Status TlsContext::Reload() {
  PHALANX_ASSIGN_OR_RETURN(ContextPtr context, ReadFiles(files_));
  std::lock_guard lock(mu_);
  context_ = std::move(context);
  return OkStatus();
}

std::unique_ptr<Transport> TlsContext::Accept(int socket) const {
  ContextPtr context;
  {
    std::lock_guard lock(mu_);
    context = context_;
  }
  std::unique_ptr<SSL, SslDeleter> ssl(SSL_new(context.get()));
  if (ssl == nullptr || SSL_set_fd(ssl.get(), socket) != 1) return nullptr;
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsTransport>(std::move(context), std::move(ssl), socket);
}

}  // namespace phalanx::http
