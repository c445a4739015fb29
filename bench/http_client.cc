#include "bench/http_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "kernels/base/check.h"

namespace phalanx::bench {

int Connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  PHALANX_CHECK(fd >= 0);
  PHALANX_CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

void Send(int fd, std::string_view text) {
  PHALANX_CHECK(::send(fd, text.data(), text.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(text.size()));
}

std::string GetRequest(std::string_view path) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: bench\r\n\r\n", path);
}

std::string PostRequest(std::string_view path, std::string_view json) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      path, json.size(), json);
}

void ReadAnswer(int fd) {
  constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
  std::string tail;
  char bytes[4096];
  while (!tail.ends_with(kEnd)) {
    const ssize_t count = ::recv(fd, bytes, sizeof(bytes), 0);
    if (count <= 0) return;
    tail.append(bytes, static_cast<size_t>(count));
    tail.erase(0, tail.size() - std::min(tail.size(), kEnd.size()));
  }
}

void ReadShortAnswer(int fd) {
  constexpr std::string_view kLength = "Content-Length: ";
  std::string text;
  size_t expected = std::string::npos;
  while (text.size() < expected) {
    char bytes[4096];
    const ssize_t count = ::recv(fd, bytes, sizeof(bytes), 0);
    PHALANX_CHECK(count > 0);
    text.append(bytes, static_cast<size_t>(count));
    const size_t head = text.find("\r\n\r\n");
    const size_t length = text.find(kLength);
    if (head == std::string::npos || length > head) continue;
    size_t body = 0;
    std::from_chars(text.data() + length + kLength.size(), text.data() + head, body);
    expected = head + 4 + body;
  }
}

void Drain(const std::vector<int>& connections) {
  constexpr std::string_view kEnd = "0\r\n\r\n";
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : connections) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
  size_t left = connections.size();
  while (left > 0) {
    epoll_event events[64];
    const int ready = ::epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < ready; ++i) {
      char bytes[16'384];
      const ssize_t count = ::recv(events[i].data.fd, bytes, sizeof(bytes), 0);
      const std::string_view text(bytes, count > 0 ? static_cast<size_t>(count) : 0);
      if (count > 0 && !text.ends_with(kEnd)) continue;
      ::epoll_ctl(epoll, EPOLL_CTL_DEL, events[i].data.fd, nullptr);
      --left;
    }
  }
  ::close(epoll);
}

Latency LatencyOf(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100]};
}

void CloseAll(const std::vector<int>& connections) {
  for (const int fd : connections) ::close(fd);
}

}  // namespace phalanx::bench
