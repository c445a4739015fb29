#include "kernels/base/op_times.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/memory_plan.h"

namespace phalanx {

std::string OpName(std::string_view op, std::string_view weight) {
  if (weight.empty()) return std::string(op);
  return fmt::format("{} {}", op, NameOfAllLayers(weight));
}

void OpTimes::Add(const std::string& name, double seconds) {
  OpTime& time = times_.try_emplace(name, OpTime{.name = name}).first->second;
  ++time.calls;
  time.seconds += seconds;
}

std::vector<OpTime> OpTimes::table() const {
  std::vector<OpTime> table;
  for (const auto& [name, time] : times_) table.push_back(time);
  std::stable_sort(table.begin(), table.end(),
                   [](const OpTime& a, const OpTime& b) { return a.seconds > b.seconds; });
  return table;
}

std::vector<std::string> FormatOpTimes(std::span<const OpTime> times) {
  double ops_seconds = 0;
  double steps_seconds = 0;
  size_t width = 0;
  for (const OpTime& time : times) {
    (time.name == kWholeStep ? steps_seconds : ops_seconds) += time.seconds;
    width = std::max(width, time.name.size());
  }
  const double whole = steps_seconds > 0 ? steps_seconds : ops_seconds;
  std::vector<std::string> lines;
  for (const OpTime& time : times) {
    lines.push_back(fmt::format("{:<{}} {:>9} calls {:>11.3f} ms {:>11.2f} us each {:>5.1f} %",
                                time.name, width, time.calls, 1e3 * time.seconds,
                                1e6 * time.seconds / static_cast<double>(time.calls),
                                whole > 0 ? 100 * time.seconds / whole : 0.0));
  }
  return lines;
}

}  // namespace phalanx
