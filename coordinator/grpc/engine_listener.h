// The engine socket: a Unix socket in a private folder, whose peers must be the same user.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "coordinator/core/dispatcher.h"
#include "kernels/base/status.h"

namespace grpc {
class Server;
class Service;
}  // namespace grpc

namespace phalanx {

// $XDG_RUNTIME_DIR/phalanx/engine.sock, else /tmp/phalanx-UID/engine.sock.
std::filesystem::path DefaultEngineSocket();

class EngineListener {
 public:
  // Makes the socket's folder (mode 0700) if it is missing, writes a fresh token to SOCKET.token
  // (mode 0600) and accepts worker groups. FAILED_PRECONDITION: the folder is another user's or
  // open to others, or another coordinator serves the socket. `dispatcher` must outlive it.
  static StatusOr<std::unique_ptr<EngineListener>> Start(const std::filesystem::path& socket,
                                                         Dispatcher& dispatcher);
  // Closes all channels and removes socket and token.
  ~EngineListener();
  EngineListener(const EngineListener&) = delete;
  EngineListener& operator=(const EngineListener&) = delete;

 private:
  EngineListener() = default;
  void Accept();

  std::filesystem::path socket_;
  std::filesystem::path token_file_;
  int listen_fd_ = -1;
  int wake_fd_ = -1;
  std::unique_ptr<grpc::Service> hub_;
  std::unique_ptr<grpc::Server> server_;
  std::thread thread_;
};

}  // namespace phalanx
