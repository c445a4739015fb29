// The command line of API keys.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "coordinator/core/api_keys.h"
#include "kernels/base/status.h"

namespace CLI {
class App;
}

namespace phalanx {

struct KeyOptions {
  std::filesystem::path file;      // empty: none; read again on SIGHUP
  std::vector<std::string> plain;  // of --api-key
};

// `options` must live until the command line is parsed.
void AddKeyOptions(CLI::App* app, KeyOptions* options);

// Those of the file and those of the command line, which are called key-1, key-2, ... and, since
// there is no line to say it, may read metrics.
StatusOr<std::vector<ApiKey>> LoadKeys(const KeyOptions& options);

}  // namespace phalanx
