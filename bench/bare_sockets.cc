#include "bench/bare_sockets.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <string>

#include "bench/process_cost.h"
#include "kernels/base/check.h"

namespace phalanx::bench {

BareCosts ServeBareSockets(const BareSocketOptions& options, ProcessChannel& channel) {
  const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  PHALANX_CHECK(::bind(listening, reinterpret_cast<sockaddr*>(&address), length) == 0);
  PHALANX_CHECK(::listen(listening, 1) == 0);
  ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &length);
  channel.Say(static_cast<int>(ntohs(address.sin_port)));
  const int fd = ::accept(listening, nullptr, nullptr);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  std::string piece(options.bytes, 'x');
  for (int i = 0; i < options.round_trips; ++i) {
    ::recv(fd, piece.data(), piece.size(), MSG_WAITALL);
    ::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL);
  }
  BareCosts costs;
  costs.round_trip = channel.Hear<Latency>();
  constexpr int kNumWrites = 20'000;
  const double before = CpuSeconds();
  for (int i = 0; i < kNumWrites; ++i) ::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL);
  costs.write_us = (CpuSeconds() - before) / kNumWrites * 1e6;
  ::close(fd);
  ::close(listening);
  return costs;
}

void AskBareSockets(const BareSocketOptions& options, ProcessChannel& channel) {
  const int fd = Connect(channel.Hear<int>());
  std::string piece(options.bytes, 'x');
  channel.Say(MeasureFirstByte(
      fd, options.round_trips, [&] { Send(fd, piece); },
      [&] { ::recv(fd, piece.data(), piece.size(), MSG_WAITALL); }));
  while (::recv(fd, piece.data(), piece.size(), 0) > 0) {
  }
  ::close(fd);
}

}  // namespace phalanx::bench
