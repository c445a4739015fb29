#include "bench/tls_client.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/http_client.h"
#include "kernels/base/check.h"

namespace phalanx::bench {

TlsClients::TlsClients(int port, int count) : context_(SSL_CTX_new(TLS_client_method())) {
  PHALANX_CHECK(context_ != nullptr);
  for (int i = 0; i < count; ++i) {
    Connection& connection = connections_.emplace_back();
    connection.fd = Connect(port);
    connection.tls = SSL_new(context_);
    PHALANX_CHECK(connection.tls != nullptr);
    PHALANX_CHECK(SSL_set_fd(connection.tls, connection.fd) == 1);
    PHALANX_CHECK(SSL_connect(connection.tls) == 1);
  }
}

TlsClients::~TlsClients() {
  for (const Connection& connection : connections_) {
    SSL_free(connection.tls);
    ::close(connection.fd);
  }
  SSL_CTX_free(context_);
}

void TlsClients::SendToAll(std::string_view text) {
  for (const Connection& connection : connections_) {
    const int count = static_cast<int>(text.size());
    PHALANX_CHECK(SSL_write(connection.tls, text.data(), count) == count);
  }
}

bool TlsClients::ReadMore(const Connection& connection) {
  constexpr std::string_view kEnd = "0\r\n\r\n";
  char bytes[16'384];
  for (;;) {
    const int count = SSL_read(connection.tls, bytes, sizeof(bytes));
    if (count <= 0) return SSL_get_error(connection.tls, count) == SSL_ERROR_WANT_READ;
    if (std::string_view(bytes, static_cast<size_t>(count)).ends_with(kEnd)) return false;
  }
}

void TlsClients::Drain() {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < connections_.size(); ++i) {
    const int fd = connections_[i].fd;
    PHALANX_CHECK(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    PHALANX_CHECK(::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
  }
  size_t left = connections_.size();
  while (left > 0) {
    epoll_event events[64];
    const int ready = ::epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < ready; ++i) {
      const Connection& connection = connections_[events[i].data.u64];
      if (ReadMore(connection)) continue;
      ::epoll_ctl(epoll, EPOLL_CTL_DEL, connection.fd, nullptr);
      --left;
    }
  }
  ::close(epoll);
}

}  // namespace phalanx::bench
