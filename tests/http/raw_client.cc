#include "tests/http/raw_client.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace phalanx::http::testing {
namespace {

constexpr int kTimeoutMs = 10'000;

}  // namespace

RawClient::RawClient(int port) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
}

RawClient::RawClient(const std::string& unix_path) {
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  unix_path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
}

RawClient::~RawClient() { Close(); }

RawClient::RawClient(RawClient&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), buffer_(std::move(other.buffer_)) {}

bool RawClient::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

bool RawClient::WriteBytewise(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [this](char c) { return Write(std::string_view(&c, 1)); });
}

bool RawClient::Fill() {
  pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
  if (::poll(&waiting, 1, kTimeoutMs) <= 0) {
    ADD_FAILURE() << "nothing came for " << kTimeoutMs << " ms";
    return false;
  }
  char bytes[4096];
  const ssize_t count = ::recv(fd_, bytes, sizeof(bytes), 0);
  if (count <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(count));
  return true;
}

std::string RawClient::ReadSome(size_t max) {
  if (buffer_.empty() && !Fill()) return {};
  std::string out = buffer_.substr(0, max);
  buffer_.erase(0, out.size());
  return out;
}

std::string RawClient::ReadToEnd() {
  while (Fill()) {
  }
  return std::exchange(buffer_, {});
}

bool RawClient::EndsWithin(std::chrono::milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) return false;
    char bytes[4096];
    if (::recv(fd_, bytes, sizeof(bytes), 0) <= 0) return true;
  }
}

std::optional<std::string> RawClient::ReadLine() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos) {
    if (!Fill()) return std::nullopt;
  }
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

bool RawClient::ReadExactly(size_t bytes, std::string* out) {
  while (buffer_.size() < bytes) {
    if (!Fill()) {
      out->append(std::exchange(buffer_, {}));
      return false;
    }
  }
  out->append(buffer_, 0, bytes);
  buffer_.erase(0, bytes);
  return true;
}

ParsedResponse RawClient::ReadResponse(ExpectBody expect) {
  ParsedResponse response;
  const std::optional<std::string> status = ReadLine();
  if (!status || !status->starts_with("HTTP/1.1 ")) return response;
  response.status = std::stoi(status->substr(9, 3));
  while (true) {
    const std::optional<std::string> line = ReadLine();
    if (!line) return response;
    if (line->empty()) break;
    const size_t colon = line->find(": ");
    std::string name = line->substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return static_cast<char>(std::tolower(c)); });
    response.headers[name] = line->substr(colon + 2);
  }
  const bool interim = response.status < 200;
  if (expect == ExpectBody::kNo || interim || response.status == 204) {
    response.complete = true;
  } else if (response.headers.contains("content-length")) {
    response.complete = ReadExactly(std::stoul(response.headers["content-length"]), &response.body);
  } else if (response.headers.contains("transfer-encoding")) {
    while (const std::optional<std::string> size_line = ReadLine()) {
      const size_t size = std::stoul(*size_line, nullptr, 16);
      std::string line_end;
      if (!ReadExactly(size, &response.body) || !ReadExactly(2, &line_end)) return response;
      response.complete = size == 0;
      if (response.complete) break;
    }
  } else {
    response.body = ReadToEnd();
    response.complete = true;
  }
  return response;
}

void RawClient::ShutdownWrite() { ::shutdown(fd_, SHUT_WR); }

void RawClient::Close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void RawClient::Reset() {
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Close();
}

void RawClient::SetReceiveBuffer(int bytes) {
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

std::string Get(std::string_view target, std::string_view more_headers) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: test\r\n{}\r\n", target, more_headers);
}

std::string Post(std::string_view target, std::string_view body, std::string_view more_headers) {
  return fmt::format("POST {} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n{}\r\n{}", target,
                     body.size(), more_headers, body);
}

}  // namespace phalanx::http::testing
