#include "coordinator/http_options.h"

#include <CLI/CLI.hpp>

#include "coordinator/seconds_flag.h"

namespace phalanx {

void AddHttpOptions(CLI::App* app, HttpOptions* options) {
  http::ServerOptions& server = options->server;
  app->add_option("--port", server.port, "TCP port for HTTP; 0: a free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app->add_option("--uds", server.unix_socket,
                  "serve HTTP on this Unix socket instead of host and port");
  app->add_flag_callback(
      "--no-http", [options] { options->front = HttpFront::kOff; }, "serve gRPC alone");
  app->add_flag_callback(
      "--strict", [options] { options->unknown_fields = openai::UnknownFieldPolicy::kRefuse; },
      "refuse unknown fields of HTTP requests");

  struct Row {
    const char* flag;
    size_t* value;
    const char* help;
  };
  const Row rows[] = {
      {"--max-body-bytes", &server.message.max_body_bytes, "one HTTP request's body"},
      {"--max-header-bytes", &server.message.max_header_bytes, "all of its header lines"},
      {"--max-header-line-bytes", &server.message.max_line_bytes, "one of them"},
      {"--max-headers", &server.message.max_headers, "how many"},
      {"--max-connections", &server.max_connections, "HTTP connections at once"},
  };
  for (const Row& row : rows) {
    app->add_option(row.flag, *row.value, row.help)
        ->check(CLI::Range(1, 1 << 30))
        ->group("Limits")
        ->capture_default_str();
  }
  app->add_option("--max-connections-per-address", server.max_connections_per_address,
                  "of these of one client address; 0: a quarter, and all for loopback addresses")
      ->check(CLI::Range(0, 1 << 30))
      ->group("Limits")
      ->capture_default_str();
  http::Timeouts& timeouts = server.timeouts;
  AddSeconds(app, "--http-header-timeout", &timeouts.header, "from its first byte to the body")
      ->group("Limits");
  AddSeconds(app, "--http-body-timeout", &timeouts.body, "until the body is there")
      ->group("Limits");
  AddSeconds(app, "--http-idle-timeout", &timeouts.idle, "between requests of a connection")
      ->group("Limits");
  AddSeconds(app, "--http-write-timeout", &timeouts.stalled_write,
             "how long a client may take nothing of an answer")
      ->group("Limits");
}

}  // namespace phalanx
