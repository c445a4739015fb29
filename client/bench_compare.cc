#include "client/bench_compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace phalanx {
namespace {

using nlohmann::ordered_json;

// What was asked for, and of what: vLLM's names among ours.
constexpr std::array<std::string_view, 9> kSettings = {
    "model",         "model_id",    "num_prompts",  "prefix_tokens",   "prompt_tokens",
    "output_tokens", "range_ratio", "request_rate", "max_concurrency",
};

bool IsSetting(std::string_view name) {
  return std::ranges::find(kSettings, name) != kSettings.end();
}

std::string Shown(const ordered_json& result, std::string_view name) {
  const auto found = result.find(std::string(name));
  return found == result.end() ? "-" : found->dump();
}

}  // namespace

StatusOr<ordered_json> ParseBenchResult(const std::string& path, std::string_view text) {
  const ordered_json result = ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (result.is_discarded() || !result.is_object() || !result.contains("request_throughput")) {
    return InvalidArgumentError("--compare: {} is no result, allowed: what bench --json wrote",
                                path);
  }
  return result;
}

std::string CompareBenchResults(const ordered_json& before, const ordered_json& after) {
  std::string table;
  for (const std::string_view name : kSettings) {
    const std::string a = Shown(before, name);
    const std::string b = Shown(after, name);
    if (a != b) table += fmt::format("not the same: {} was {} and is {}\n", name, a, b);
  }
  table += fmt::format("{:<24} {:>12} {:>12} {:>8}\n", "", "before", "after", "ratio");
  for (const auto& [name, value] : before.items()) {
    if (!value.is_number() || IsSetting(name) || !after.contains(name) ||
        !after[name].is_number()) {
      continue;
    }
    const double a = value.get<double>();
    const double b = after[name].get<double>();
    const std::string ratio = a == 0 ? "-" : fmt::format("{:.3f}", b / a);
    table += fmt::format("{:<24} {:>12.2f} {:>12.2f} {:>8}\n", name, a, b, ratio);
  }
  return table;
}

}  // namespace phalanx
