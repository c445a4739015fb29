// A duration on the command line, in seconds.
#pragma once

#include <chrono>
#include <string>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace phalanx {

CLI::Option* AddSeconds(CLI::App* app, const std::string& flag, std::chrono::milliseconds* value,
                        const std::string& help);

}  // namespace phalanx
