// Accepts connections and deals them out to the loops in turn.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <span>
#include <string>

#include "coordinator/http/event_loop.h"
#include "coordinator/http/listen_socket.h"
#include "coordinator/http/server_core.h"

namespace phalanx::http {

// Belongs to the thread of the first loop.
class Listener : public std::enable_shared_from_this<Listener> {
 public:
  // Takes over the socket. `loops` are not empty.
  Listener(ServerCore& core, std::span<const std::unique_ptr<EventLoop>> loops,
           ListenSocket listening);

  void Start() { Arm(); }
  void Close();  // removes a Unix socket's file, too

 private:
  void Arm();
  void AcceptAll();
  void Deal(int fd, Peer peer);
  void Pause(int error);

  ServerCore& core_;
  const std::span<const std::unique_ptr<EventLoop>> loops_;
  const std::string unix_path_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer pause_;
  size_t next_loop_ = 0;
  std::chrono::steady_clock::time_point last_complaint_;
  bool complained_ = false;
};

}  // namespace phalanx::http
