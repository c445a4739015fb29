#include "coordinator/http/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

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

Status Refused(std::string_view flag) { return InvalidArgumentError("{}: {}", flag, Reason()); }

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct CertificateDeleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct KeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Certificate = std::unique_ptr<X509, CertificateDeleter>;

class PemReader {
 public:
  explicit PemReader(const std::string& text)
      : bio_(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))) {}

  // Null: there is no more.
  Certificate NextCertificate() {
    Certificate next(PEM_read_bio_X509_AUX(bio_.get(), nullptr, NoPassPhrase, nullptr));
    if (next == nullptr) ERR_clear_error();
    return next;
  }
  std::unique_ptr<EVP_PKEY, KeyDeleter> Key() {
    return std::unique_ptr<EVP_PKEY, KeyDeleter>(
        PEM_read_bio_PrivateKey(bio_.get(), nullptr, NoPassPhrase, nullptr));
  }

 private:
  // A prompt for a pass phrase would wait for somebody at a terminal.
  static int NoPassPhrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*context*/) {
    return 0;
  }

  const std::unique_ptr<BIO, BioDeleter> bio_;
};

// The server's certificate, then those that link it to an authority.
Status UseChain(SSL_CTX* context, const std::string& pem) {
  PemReader reader(pem);
  const Certificate own = reader.NextCertificate();
  if (own == nullptr || SSL_CTX_use_certificate(context, own.get()) != 1) {
    return Refused("--ssl-certfile");
  }
  while (const Certificate link = reader.NextCertificate()) {
    if (SSL_CTX_add1_chain_cert(context, link.get()) != 1) return Refused("--ssl-certfile");
  }
  return OkStatus();
}

Status AskForCertificates(SSL_CTX* context, const std::string& pem) {
  PemReader reader(pem);
  while (const Certificate authority = reader.NextCertificate()) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1) {
      return Refused("--ssl-ca-certs");
    }
  }
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

StatusOr<ContextPtr> MakeContext(const TlsMaterial& material) {
  ERR_clear_error();
  const ContextPtr context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (context == nullptr) return InternalError("TLS: {}", Reason());
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Released buffers: an idle connection holds none.
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(raw, ChooseProtocol, nullptr);
  constexpr unsigned char kSessions[] = "phalanx";
  SSL_CTX_set_session_id_context(raw, kSessions, sizeof(kSessions) - 1);
  PHALANX_RETURN_IF_ERROR(UseChain(raw, material.certificate));
  const auto key = PemReader(material.key).Key();
  if (key == nullptr || SSL_CTX_use_PrivateKey(raw, key.get()) != 1) {
    return Refused("--ssl-keyfile");
  }
  if (!material.client_authorities.empty()) {
    PHALANX_RETURN_IF_ERROR(AskForCertificates(raw, material.client_authorities));
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
  std::string HandshakeError() const override { return handshake_error_; }
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
        if (!IsEstablished()) handshake_error_ = WhyNotAgreed();
        if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_HTTP_REQUEST) SayItIsTls();
        ERR_clear_error();
        return {IoState::kFailed};
    }
  }

  // OpenSSL says of every bad certificate the same, and apart from it why it is bad.
  std::string WhyNotAgreed() const {
    const long verdict = SSL_get_verify_result(ssl_.get());
    if (verdict != X509_V_OK) return X509_verify_cert_error_string(verdict);
    const char* text = ERR_reason_error_string(ERR_peek_last_error());
    return text == nullptr ? "" : text;
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
  std::string handshake_error_;
};

}  // namespace

StatusOr<std::shared_ptr<TlsContext>> TlsContext::Create(const TlsMaterial& material) {
  std::shared_ptr<TlsContext> context(new TlsContext());
  PHALANX_RETURN_IF_ERROR(context->Replace(material));
  return context;
}

Status TlsContext::Replace(const TlsMaterial& material) {
  PHALANX_ASSIGN_OR_RETURN(ContextPtr context, MakeContext(material));
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
