#include "coordinator/http/listen_socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

namespace phalanx::http {
namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn

class ScopedFd {
 public:
  explicit ScopedFd(int fd) : fd_(fd) {}
  ~ScopedFd() {
    if (fd_ >= 0) ::close(fd_);
  }
  ScopedFd(const ScopedFd&) = delete;
  ScopedFd& operator=(const ScopedFd&) = delete;

  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string ErrorText(int error) { return std::strerror(error); }  // NOLINT(concurrency-mt-unsafe)

Status CannotListen(const std::string& where, int error) {
  const bool wrong_place = error == EADDRNOTAVAIL || error == EACCES;
  return {wrong_place ? StatusCode::kInvalidArgument : StatusCode::kUnavailable,
          fmt::format("HTTP: cannot listen on {}: {}", where, ErrorText(error))};
}

int PortOf(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

std::string PeerName(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    return fmt::format("{}:{}", text, PortOf(address));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
    return fmt::format("[{}]:{}", text, PortOf(address));
  }
  return "unix";
}

Peer PeerOf(const sockaddr_storage& address) {
  Peer peer{.name = PeerName(address), .address = {}};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address).sin_addr;
    peer.address.assign(reinterpret_cast<const char*>(&v4), sizeof(v4));
    peer.is_local = (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET;
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
    const auto* const bytes = reinterpret_cast<const char*>(&v6);
    constexpr size_t kV4Begin = 12;
    constexpr size_t kNetworkBytes = 8;  // whoever has one address has all of its network's
    if (IN6_IS_ADDR_V4MAPPED(&v6) != 0) {
      peer.address.assign(bytes + kV4Begin, sizeof(v6) - kV4Begin);
      peer.is_local = bytes[kV4Begin] == IN_LOOPBACKNET;
    } else {
      peer.address.assign(bytes, kNetworkBytes);
      peer.is_local = IN6_IS_ADDR_LOOPBACK(&v6) != 0;
    }
  } else {
    peer.is_local = true;
  }
  return peer;
}

// Errno of what failed, or 0 with *out listening.
int Listen(const addrinfo& at, ListenSocket* out) {
  ScopedFd fd(::socket(at.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return errno;
  // A restart need not wait for the last connections' TIME_WAIT.
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(fd.get(), at.ai_addr, at.ai_addrlen) != 0) return errno;
  if (::listen(fd.get(), kBacklog) != 0) return errno;
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &length) != 0) return errno;
  out->port = PortOf(bound);
  out->fd = fd.Release();
  return 0;
}

// Whether something still accepts there.
bool IsServed(const sockaddr_un& address) {
  ScopedFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int result =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  return result == 0 || errno != ECONNREFUSED;
}

}  // namespace

StatusOr<ListenSocket> ListenTcp(const std::string& host, int port) {
  constexpr int kMaxPort = 65'535;
  if (port < 0 || port > kMaxPort) return InvalidField("HTTP port", port, "0..65535");
  const std::string where = host.find(':') == std::string::npos
                                ? fmt::format("{}:{}", host, port)
                                : fmt::format("[{}]:{}", host, port);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    return InvalidArgumentError("HTTP: cannot listen on {}: {}", where, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
  int first_error = 0;
  for (const addrinfo* at = addresses.get(); at != nullptr; at = at->ai_next) {
    ListenSocket listening;
    const int failure = Listen(*at, &listening);
    if (failure == 0) return listening;
    if (first_error == 0) first_error = failure;
  }
  return CannotListen(where, first_error);
}

StatusOr<ListenSocket> ListenUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return InvalidArgumentError("HTTP Unix socket: its path has {} bytes, allowed: {}", path.size(),
                                sizeof(address.sun_path) - 1);
  }
  path.copy(address.sun_path, path.size());
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return CannotListen(path, EEXIST);
    if (IsServed(address)) return CannotListen(path, EADDRINUSE);
    ::unlink(path.c_str());
  }
  ScopedFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd.get(), kBacklog) != 0) {
    return CannotListen(path, errno);
  }
  return ListenSocket{.fd = fd.Release(), .port = 0, .unix_path = path};
}

int AcceptConnection(int listening_fd, Peer* peer) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  const int fd = ::accept4(listening_fd, reinterpret_cast<sockaddr*>(&address), &length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) *peer = PeerOf(address);
  return fd;
}

}  // namespace phalanx::http
