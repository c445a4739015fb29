// A server with the tests' handler on a free port.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "coordinator/http/server.h"
#include "tests/http/raw_client.h"
#include "tests/http/test_handler.h"

namespace phalanx::http::testing {

class TestServer {
 public:
  explicit TestServer(ServerOptions options = {});

  Server& server() { return *server_; }
  TestHandler& handler() { return *handler_; }
  int port() const { return server_->port(); }
  RawClient Connect() const { return RawClient(port()); }
  // The response to one request on a connection of its own.
  ParsedResponse Ask(const std::string& request) const;
  void Stop() { server_.reset(); }

 private:
  std::shared_ptr<TestHandler> handler_ = std::make_shared<TestHandler>();
  std::unique_ptr<Server> server_;
};

// Polls until `condition` holds; false after ten seconds.
bool Eventually(const std::function<bool()>& condition);

}  // namespace phalanx::http::testing
