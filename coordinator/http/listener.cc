#include "coordinator/http/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "coordinator/http/connection.h"

namespace phalanx::http {
namespace {

constexpr std::chrono::milliseconds kPause{100};
constexpr std::chrono::seconds kBetweenComplaints{10};
constexpr int kMaxAcceptsATurn = 64;
// How many beyond max_connections hear why they are turned away; the others are just closed.
constexpr size_t kMaxTurnedAway = 256;
constexpr size_t kMaxTurnedAwayOfAddress = 4;

void SetUp(int fd, const ServerOptions& options) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // fails for Unix sockets, rightly
  const int bytes = options.send_buffer_bytes;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

// How many connections whoever `peer` is may have.
size_t LimitOf(const Peer& peer, const ServerOptions& options) {
  constexpr size_t kShares = 4;
  if (peer.address.empty()) return options.max_connections;
  if (options.max_connections_per_address > 0) return options.max_connections_per_address;
  if (peer.is_local) return options.max_connections;
  return std::max<size_t>(options.max_connections / kShares, 1);
}

}  // namespace

Listener::Listener(ServerCore& core, std::span<const std::unique_ptr<EventLoop>> loops,
                   ListenSocket listening)
    : core_(core),
      loops_(loops),
      unix_path_(std::move(listening.unix_path)),
      socket_(loops.front()->context, listening.fd),
      pause_(loops.front()->context) {}

void Listener::Close() {
  if (!socket_.is_open()) return;
  boost::system::error_code ignored;
  socket_.close(ignored);
  pause_.cancel(ignored);
  if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
}

void Listener::Arm() {
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (!error && self->socket_.is_open()) self->AcceptAll();
                     });
}

void Listener::AcceptAll() {
  for (int i = 0; i < kMaxAcceptsATurn; ++i) {
    Peer peer;
    const int fd = AcceptConnection(socket_.native_handle(), &peer);
    if (fd >= 0) {
      Deal(fd, std::move(peer));
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
      return Pause(errno);
    }
  }
  Arm();
}

void Listener::Deal(int fd, Peer peer) {
  const size_t count = core_.connections.value();
  const size_t max = core_.options.max_connections;
  const size_t max_of_address = LimitOf(peer, core_.options);
  const size_t of_address = core_.addresses.Add(peer.address);
  if (count >= max + kMaxTurnedAway || of_address > max_of_address + kMaxTurnedAwayOfAddress) {
    core_.addresses.Remove(peer.address);
    ::close(fd);
    return;
  }
  std::optional<Refusal> refusal;
  if (count >= max) {
    refusal = {503, fmt::format("the server has {} connections, which are all it takes", max)};
  } else if (of_address > max_of_address) {
    refusal = {429, fmt::format("your address has {} connections, which are all it may have",
                                max_of_address)};
  }
  SetUp(fd, core_.options);
  core_.connections.Add();
  EventLoop& loop = *loops_[next_loop_++ % loops_.size()];
  const TlsContext* tls = unix_path_.empty() ? core_.options.tls.get() : nullptr;
  boost::asio::post(loop.context, [this_core = &core_, &loop, fd, peer = std::move(peer), tls,
                                   refusal = std::move(refusal)]() mutable {
    const auto connection =
        std::make_shared<Connection>(*this_core, loop, fd, std::move(peer), tls);
    refusal ? connection->TurnAway(*std::move(refusal)) : connection->Serve();
  });
}

// Out of descriptors or memory: the waiting clients stay in the kernel's queue, and what ends
// meanwhile makes room for them.
void Listener::Pause(int error) {
  const auto now = std::chrono::steady_clock::now();
  if (!complained_ || now - last_complaint_ > kBetweenComplaints) {
    complained_ = true;
    last_complaint_ = now;
    spdlog::warn("http: cannot accept a connection: {}",
                 std::strerror(error));  // NOLINT(concurrency-mt-unsafe)
  }
  pause_.expires_after(kPause);
  pause_.async_wait([self = shared_from_this()](const boost::system::error_code& cancelled) {
    if (!cancelled && self->socket_.is_open()) self->AcceptAll();
  });
}

}  // namespace phalanx::http
