#include "tests/http/test_server.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <thread>
#include <utility>

namespace phalanx::http::testing {

TestServer::TestServer(ServerOptions options) {
  spdlog::set_level(spdlog::level::err);  // refusals by the thousand
  options.port = 0;
  StatusOr<std::unique_ptr<Server>> server = Server::Start(std::move(options), handler_);
  PHALANX_CHECK(server.ok());
  server_ = *std::move(server);
}

ParsedResponse TestServer::Ask(const std::string& request) const {
  RawClient client = Connect();
  client.Write(request);
  return client.ReadResponse();
}

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace phalanx::http::testing
