#include "coordinator/http/server.h"

#include <boost/asio/post.hpp>
#include <boost/system/system_error.hpp>
#include <future>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include "coordinator/http/connection.h"
#include "coordinator/http/event_loop.h"
#include "coordinator/http/listener.h"
#include "coordinator/http/server_core.h"

namespace phalanx::http {

class Server::Impl {
 public:
  Impl(ServerOptions options, std::shared_ptr<Handler> handler)
      : core_(std::move(options), std::move(handler)) {
    for (int i = 0; i < core_.options.num_threads; ++i) {
      loops_.push_back(std::make_unique<EventLoop>());
    }
  }

  ~Impl() { Shutdown(std::chrono::steady_clock::now()); }

  Status Listen() {
    const ServerOptions& options = core_.options;
    if (!options.host.empty()) {
      PHALANX_ASSIGN_OR_RETURN(ListenSocket tcp, ListenTcp(options.host, options.port));
      port_ = tcp.port;
      listeners_.push_back(std::make_shared<Listener>(core_, loops_, std::move(tcp)));
    }
    if (!options.unix_socket.empty()) {
      PHALANX_ASSIGN_OR_RETURN(ListenSocket local, ListenUnix(options.unix_socket));
      listeners_.push_back(std::make_shared<Listener>(core_, loops_, std::move(local)));
    }
    return OkStatus();
  }

  void Run() {
    for (const std::shared_ptr<Listener>& listener : listeners_) listener->Start();
    for (const std::unique_ptr<EventLoop>& loop : loops_) {
      loop->thread = std::thread([&context = loop->context] { context.run(); });
    }
  }

  void StopAccepting() {
    std::lock_guard lock(mu_);
    CloseListeners();
  }

  void Shutdown(std::chrono::steady_clock::time_point deadline) {
    std::lock_guard lock(mu_);
    CloseListeners();
    if (!loops_.front()->thread.joinable()) return;
    ForEachConnection(&Connection::Drain);
    if (!core_.connections.WaitUntilNone(deadline)) ForEachConnection(&Connection::Cut);
    for (const std::unique_ptr<EventLoop>& loop : loops_) loop->work.reset();
    for (const std::unique_ptr<EventLoop>& loop : loops_) loop->thread.join();
  }

  int port() const { return port_; }
  size_t num_connections() const { return core_.connections.value(); }

 private:
  // On the listeners' thread, where there is one.
  void CloseListeners() {
    const auto close = [this] {
      for (const std::shared_ptr<Listener>& listener : listeners_) listener->Close();
    };
    EventLoop& first = *loops_.front();
    if (!first.thread.joinable()) return close();
    std::promise<void> closed;
    boost::asio::post(first.context, [&] {
      close();
      closed.set_value();
    });
    closed.get_future().wait();
  }

  // Later, each on its thread. Connections that were accepted before are there by then.
  void ForEachConnection(void (Connection::*action)()) {
    for (const std::unique_ptr<EventLoop>& loop : loops_) {
      boost::asio::post(loop->context, [&connections = loop->connections, action] {
        const auto all = connections;  // the action takes its connection out
        for (const std::shared_ptr<Connection>& connection : all) ((*connection).*action)();
      });
    }
  }

  ServerCore core_;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  int port_ = 0;
  std::mutex mu_;
};

StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options,
                                                std::shared_ptr<Handler> handler) {
  constexpr int kMaxThreads = 64;
  if (options.num_threads < 1 || options.num_threads > kMaxThreads) {
    return InvalidField("HTTP threads", options.num_threads, "1..64");
  }
  if (options.max_connections == 0) {
    return InvalidField("HTTP connections", options.max_connections, "at least 1");
  }
  if (options.host.empty() && options.unix_socket.empty()) {
    return InvalidArgumentError("HTTP: neither a host nor a Unix socket to listen on");
  }
  try {
    auto impl = std::make_unique<Impl>(std::move(options), std::move(handler));
    PHALANX_RETURN_IF_ERROR(impl->Listen());
    impl->Run();
    return std::unique_ptr<Server>(new Server(std::move(impl)));
  } catch (const std::system_error& error) {  // a thread, or Boost's from a descriptor
    return UnavailableError("HTTP: cannot start: {}", error.what());
  } catch (const boost::system::system_error& error) {
    return UnavailableError("HTTP: cannot start: {}", error.what());
  }
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

int Server::port() const { return impl_->port(); }
size_t Server::num_connections() const { return impl_->num_connections(); }
void Server::StopAccepting() { impl_->StopAccepting(); }
void Server::Shutdown(std::chrono::steady_clock::time_point deadline) { impl_->Shutdown(deadline); }

}  // namespace phalanx::http
