// What a program says of a command line that it cannot take.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace phalanx {

// "PROGRAM: --flag: is VALUE, allowed: ...", one line, from CLI11's own words where they say that
// much and put in order where they do not.
std::string UsageError(const CLI::App& app, const CLI::ParseError& error);

}  // namespace phalanx
