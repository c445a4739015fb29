// The command line of the HTTP front.
#pragma once

#include <string>

#include "coordinator/http/server_options.h"
#include "coordinator/openai/unknown_fields.h"

namespace CLI {
class App;
}

namespace phalanx {

enum class HttpFront { kOff, kOn };

struct HttpOptions {
  HttpFront front = HttpFront::kOn;
  http::ServerOptions server;
  openai::UnknownFieldPolicy unknown_fields = openai::UnknownFieldPolicy::kIgnore;

  bool listens_on_tcp() const { return front == HttpFront::kOn && server.unix_socket.empty(); }
};

// `options` must live until the command line is parsed.
void AddHttpOptions(CLI::App* app, HttpOptions* options);

}  // namespace phalanx
