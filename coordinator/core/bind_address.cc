#include "coordinator/core/bind_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "coordinator/core/printable.h"

namespace phalanx {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

StatusOr<AddressList> Resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    return NotFoundError("--host: is {}, allowed: an address or name of this host ({})",
                         Printable(host), gai_strerror(error));
  }
  return AddressList(found, &freeaddrinfo);
}

}  // namespace

StatusOr<bool> IsLoopback(const std::string& host) {
  PHALANX_ASSIGN_OR_RETURN(const AddressList addresses, Resolve(host, 0));
  for (const addrinfo* it = addresses.get(); it != nullptr; it = it->ai_next) {
    if (it->ai_family == AF_INET) {
      const auto* v4 = reinterpret_cast<const sockaddr_in*>(it->ai_addr);
      if ((ntohl(v4->sin_addr.s_addr) >> 24) != IN_LOOPBACKNET) return false;
    } else {
      const auto* v6 = reinterpret_cast<const sockaddr_in6*>(it->ai_addr);
      if (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) == 0) return false;
    }
  }
  return true;
}

bool IsAllOfIpv4(const std::string& host) {
  const StatusOr<AddressList> addresses = Resolve(host, 0);
  if (!addresses.ok() || addresses->get()->ai_family != AF_INET) return false;
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(addresses->get()->ai_addr);
  return v4->sin_addr.s_addr == htonl(INADDR_ANY);
}

std::string WhyNotBound(const std::string& host, int port) {
  const StatusOr<AddressList> addresses = Resolve(host, port);
  if (!addresses.ok()) return addresses.status().message();
  const addrinfo* address = addresses->get();
  const int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool bound = fd >= 0 && bind(fd, address->ai_addr, address->ai_addrlen) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  return bound ? "the address could not be bound" : std::strerror(error);
}

}  // namespace phalanx
