#include "coordinator/grpc/ipv4_listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace phalanx {
namespace {

constexpr int kBacklog = 4096;  // the kernel cuts it to net.core.somaxconn
constexpr int kPauseMs = 100;   // out of descriptors or memory, until something ends

Status CannotListen(int port) {
  return FailedPreconditionError("cannot listen on 0.0.0.0:{}: {}", port, std::strerror(errno));
}

}  // namespace

StatusOr<std::unique_ptr<Ipv4Listener>> Ipv4Listener::Listen(int port) {
  std::unique_ptr<Ipv4Listener> listener(new Ipv4Listener());
  listener->wake_fd_ = eventfd(0, EFD_CLOEXEC);
  listener->listen_fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int fd = listener->listen_fd_;
  if (listener->wake_fd_ < 0 || fd < 0) return CannotListen(port);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // connections inherit it
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(static_cast<uint16_t>(port));
  auto* const raw = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  if (bind(fd, raw, size) != 0 || listen(fd, kBacklog) != 0 || getsockname(fd, raw, &size) != 0) {
    return CannotListen(port);
  }
  listener->port_ = ntohs(address.sin_port);
  return listener;
}

Ipv4Listener::~Ipv4Listener() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
    thread_.join();
  }
  for (const int fd : {listen_fd_, wake_fd_}) {
    if (fd >= 0) close(fd);
  }
}

void Ipv4Listener::Start(Server server) {
  server_ = std::move(server);
  thread_ = std::thread([this] { Accept(); });
}

void Ipv4Listener::Accept() {
  std::array<pollfd, 2> waits = {pollfd{wake_fd_, POLLIN, 0}, pollfd{listen_fd_, POLLIN, 0}};
  while (true) {
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    if ((waits[0].revents & POLLIN) != 0) return;
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
      connection.listener_fd = listen_fd_;
      connection.fd = fd;
      server_->HandleNewConnection(&connection);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      poll(waits.data(), 1, kPauseMs);
    }
  }
}

}  // namespace phalanx
