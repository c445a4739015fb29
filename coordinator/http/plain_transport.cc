#include <sys/socket.h>

#include <cerrno>

#include "coordinator/http/transport.h"

namespace phalanx::http {
namespace {

class PlainTransport final : public Transport {
 public:
  explicit PlainTransport(int socket) : socket_(socket) {}

  IoResult Read(std::span<char> into) override {
    const ssize_t count = ::recv(socket_, into.data(), into.size(), 0);
    if (count > 0) return {IoState::kDone, static_cast<size_t>(count)};
    if (count == 0) return {IoState::kEnd};
    return {errno == EAGAIN || errno == EINTR ? IoState::kNeedsRead : IoState::kFailed};
  }

  IoResult Write(std::string_view data) override {
    for (;;) {
      const ssize_t count = ::send(socket_, data.data(), data.size(), MSG_NOSIGNAL);
      if (count >= 0) return {IoState::kDone, static_cast<size_t>(count)};
      if (errno != EINTR) return {errno == EAGAIN ? IoState::kNeedsWrite : IoState::kFailed};
    }
  }

  bool IsEstablished() const override { return true; }
  std::string HandshakeError() const override { return {}; }
  bool HasPending() const override { return false; }
  void End() override {}

 private:
  const int socket_;
};

}  // namespace

std::unique_ptr<Transport> MakePlainTransport(int socket) {
  return std::make_unique<PlainTransport>(socket);
}

}  // namespace phalanx::http
