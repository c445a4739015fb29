// Which ops bench_ops times on devices, on which shapes, and how long.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/device_case.h"

namespace phalanx {

// How one kind of device is measured.
struct DeviceEffort {
  int64_t rotation_bytes = 0;  // of DeviceBench
  int64_t cached_bytes = 0;
  double least_seconds = 0;  // of one measurement; runs are repeated as often as that takes
  int rounds = 1;            // measurements of a case unless somebody says how many
};
DeviceEffort EffortOn(std::string_view device);

// The names of --op.
std::vector<std::string> DeviceOpNames();
// The cases of one op: shapes of Qwen2.5-0.5B and 7B; toys on an emulated device.
std::vector<DeviceCaseGroup> DeviceGroupsOf(std::string_view op, std::string_view device);

}  // namespace phalanx
