// Sockets that listen, and the errors of opening them in words that name what was asked for.
#pragma once

#include <string>

#include "kernels/base/status.h"

namespace phalanx::http {

struct ListenSocket {
  int fd = -1;            // non-blocking; the caller closes it
  int port = 0;           // of TCP
  std::string unix_path;  // to be removed at the end; empty for TCP
};

// `port` 0: the system chooses one.
StatusOr<ListenSocket> ListenTcp(const std::string& host, int port);

// Removes a socket that a dead process left at `path`; what is no socket or still served is an
// error.
StatusOr<ListenSocket> ListenUnix(const std::string& path);

struct Peer {
  std::string name;  // "address:port", "[address]:port" or "unix"
  // What is counted as one client: an address of IPv4, 64 bits of IPv6; empty for "unix".
  std::string address;
  bool is_local = false;  // of this host: a loopback address or "unix"
};

// The next connection, non-blocking; -1 with errno set where there is none.
int AcceptConnection(int listening_fd, Peer* peer);

}  // namespace phalanx::http
