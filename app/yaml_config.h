// --config FILE: a YAML map of flag names, without their dashes, to values. What is on the command
// line wins. A file may serve both programs: what is under a key `worker` or `coordinator` is for
// the program of that name alone.
#pragma once

#include <CLI/CLI.hpp>

namespace phalanx {

// Adds --config to `app`. A key that is no flag is refused with the nearest one.
void AddYamlConfig(CLI::App* app);

}  // namespace phalanx
