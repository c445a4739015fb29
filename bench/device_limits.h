// What a CUDA device can do at most, measured: what benchmarks compare with.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "kernels/backend_factory.h"

namespace phalanx {

struct DeviceLimits {
  std::string device;        // "cuda", "cuda-emulated"
  std::string name;          // "NVIDIA H200"
  std::string architecture;  // "sm_90"
  int num_multiprocessors = 0;
  int64_t memory_bytes = 0;
  int64_t free_bytes = 0;  // before anything was measured
  // CUDA's versions, 1000 * major + 10 * minor; 0 on an emulated device.
  int driver_cuda = 0;
  int runtime_cuda = 0;
  double read_gb_per_s = 0;               // streaming loads of memory far larger than the caches
  double copy_gb_per_s = 0;               // bytes read and bytes written
  double tensor_tflop_per_s = 0;          // mma.sync m16n8k16 of random bf16; wgmma may reach more
  double launch_us = 0;                   // of the host, to enqueue an empty kernel
  double empty_kernel_us = 0;             // of the device, behind another
  std::optional<double> graph_node_us{};  // of the same as a node of a replayed graph; GPUs only
};

// Holds memory of the device while it lives. One thread's.
class DeviceProbe {
 public:
  virtual ~DeviceProbe() = default;
  // One pass of reading, a millisecond or so: for between what is measured against it.
  virtual StatusOr<double> ReadGbPerS() = 0;
  // Everything, in less than a second on a GPU. Medians of several passes, by the device's clock.
  // INTERNAL where a result is wrong.
  virtual StatusOr<DeviceLimits> Measure() = 0;
};

// On the device, GPU and emulated memory that `options` say, whose other members are not looked
// at; it takes 4 GiB, or a quarter of what is free where that is less. INVALID_ARGUMENT naming
// --device as CreateBackend, and for CPUs. RESOURCE_EXHAUSTED without memory.
StatusOr<std::unique_ptr<DeviceProbe>> OpenDeviceProbe(const BackendOptions& options);

StatusOr<DeviceLimits> MeasureDeviceLimits(const BackendOptions& options);

nlohmann::ordered_json ToJson(const DeviceLimits& limits);
// Of these, what is measured.
nlohmann::ordered_json MeasuredJson(const DeviceLimits& limits);
// A few lines for people.
std::string Describe(const DeviceLimits& limits);

}  // namespace phalanx
