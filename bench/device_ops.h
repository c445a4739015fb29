// Checks and times the ops of a device with memory of its own, beside what that device can do.
#pragma once

#include <optional>
#include <string>

#include "kernels/backend_factory.h"

namespace phalanx {

struct DeviceOpsOptions {
  BackendOptions backend;
  std::string op = "all";  // or one of DeviceOpNames()
  std::string filter;      // of shapes; empty: all
  std::optional<int> rounds;
  enum class Format : uint8_t { kTable, kJson } format = Format::kTable;
};
// Prints the device's limits and a line for each case: the median of rounds, and the fraction of
// the limit. That is floor / median with floor = an empty kernel + max(bytes / read bandwidth,
// flop / tensor peak). Cases that cannot be made, fail or are wrong are listed, and the others go
// on. The exit code: 0; 1 where there is such a case; 2 where the options are wrong.
int RunDeviceOps(const DeviceOpsOptions& options);

}  // namespace phalanx
