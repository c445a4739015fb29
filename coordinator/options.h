// The coordinator's command line.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <variant>

#include "app/log.h"
#include "coordinator/core/limits.h"
#include "coordinator/core/served_model.h"
#include "coordinator/core/tls_files.h"
#include "coordinator/grpc/public_server.h"
#include "coordinator/http_options.h"
#include "coordinator/key_options.h"
#include "coordinator/metrics/metrics_page.h"

namespace phalanx {

struct CoordinatorOptions {
  ServedModelOptions model;
  PublicServerOptions server;
  HttpOptions http;
  std::filesystem::path engine;      // the engine socket
  std::filesystem::path ready_file;  // empty: none
  std::chrono::milliseconds shutdown_timeout{std::chrono::seconds(30)};
  std::string log_level = "info";
  LogFormat log_format = LogFormat::kText;
  Limits limits;
  KeyOptions keys;
  TlsFiles tls;  // of both protocols
  metrics::MetricsNames metrics_names = metrics::MetricsNames::kOwn;
};

struct ExitCode {
  int value = 0;
};

// Prints help, version or what is wrong, and gives the exit code: 0, or 2 for a wrong command line.
std::variant<CoordinatorOptions, ExitCode> ParseCoordinatorOptions(int argc,
                                                                   const char* const* argv);

}  // namespace phalanx
