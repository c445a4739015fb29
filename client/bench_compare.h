// Two results of a serving benchmark side by side.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// A result as `phalanx bench --json` or vLLM's benchmark writes it. INVALID_ARGUMENT naming `path`
// where `text` is no object of JSON or has no "request_throughput".
StatusOr<nlohmann::ordered_json> ParseBenchResult(const std::string& path, std::string_view text);

// A table of what both have: the figure before, the one after, and after / before; ahead of it what
// makes the two hard to compare, since their loads or models differ.
std::string CompareBenchResults(const nlohmann::ordered_json& before,
                                const nlohmann::ordered_json& after);

}  // namespace phalanx
