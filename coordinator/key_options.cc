#include "coordinator/key_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

namespace phalanx {

void AddKeyOptions(CLI::App* app, KeyOptions* options) {
  app->add_option(
      "--api-key-file", options->file,
      "who may use the service, a line each (`phalanx key` makes them); mode 0600; read "
      "again on SIGHUP");
  app->add_option("--api-key", options->plain,
                  "a key that may use the service; others on this machine can read it");
}

StatusOr<std::vector<ApiKey>> LoadKeys(const KeyOptions& options) {
  std::vector<ApiKey> keys;
  if (!options.file.empty()) {
    PHALANX_ASSIGN_OR_RETURN(keys, ReadApiKeys(options.file));
  }
  for (size_t i = 0; i < options.plain.size(); ++i) {
    if (options.plain[i].empty()) {
      return InvalidArgumentError("--api-key: is empty, allowed: a key");
    }
    const std::string id = fmt::format("key-{}", i + 1);
    if (std::ranges::any_of(keys, [&](const ApiKey& key) { return key.id == id; })) {
      return InvalidArgumentError("--api-key: {} has a key {}, too", options.file.string(), id);
    }
    keys.push_back(
        {.id = id, .digest = Sha256(options.plain[i]), .expires = {}, .may_read_metrics = true});
  }
  return keys;
}

}  // namespace phalanx
