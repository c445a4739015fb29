#include "coordinator/seconds_flag.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>

namespace phalanx {

CLI::Option* AddSeconds(CLI::App* app, const std::string& flag, std::chrono::milliseconds* value,
                        const std::string& help) {
  const double seconds = std::chrono::duration<double>(*value).count();
  return app
      ->add_option_function<double>(
          flag,
          [value](const double& given) {
            *value = std::chrono::milliseconds(std::llround(given * 1e3));
          },
          help)
      ->check(CLI::Range(0.0, 1e6))
      ->type_name("SECONDS")
      ->default_str(fmt::format("{}", seconds));
}

}  // namespace phalanx
