#include "bench/device_limits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bench/limits_probe.h"

namespace phalanx {

StatusOr<std::unique_ptr<DeviceProbe>> OpenDeviceProbe(const BackendOptions& options) {
#ifdef PHALANX_HAS_CUDA
  if (options.device == "cuda") return cuda::OpenGpuProbe(options.gpu);
#endif
#ifdef PHALANX_HAS_CUDA_EMULATION
  if (options.device == "cuda-emulated") {
    return cuda::OpenEmulatedProbe(options.device_memory_bytes);
  }
#endif
  std::vector<std::string> devices = AvailableDevices();
  std::erase(devices, "cpu");
  return InvalidField("--device", options.device,
                      devices.empty() ? "none: this build has no CUDA kernels"
                                      : fmt::format("{}", fmt::join(devices, ", ")));
}

StatusOr<DeviceLimits> MeasureDeviceLimits(const BackendOptions& options) {
  PHALANX_ASSIGN_OR_RETURN(const auto probe, OpenDeviceProbe(options));
  return probe->Measure();
}

nlohmann::ordered_json MeasuredJson(const DeviceLimits& limits) {
  nlohmann::ordered_json json = {
      {"read_gb_per_s", limits.read_gb_per_s},           {"copy_gb_per_s", limits.copy_gb_per_s},
      {"tensor_tflop_per_s", limits.tensor_tflop_per_s}, {"launch_us", limits.launch_us},
      {"empty_kernel_us", limits.empty_kernel_us},       {"graph_node_us", nullptr}};
  if (limits.graph_node_us) json["graph_node_us"] = *limits.graph_node_us;
  return json;
}

nlohmann::ordered_json ToJson(const DeviceLimits& limits) {
  nlohmann::ordered_json json = {{"device", limits.device},
                                 {"name", limits.name},
                                 {"architecture", limits.architecture},
                                 {"num_multiprocessors", limits.num_multiprocessors},
                                 {"memory_bytes", limits.memory_bytes},
                                 {"free_bytes", limits.free_bytes},
                                 {"driver_cuda", limits.driver_cuda},
                                 {"runtime_cuda", limits.runtime_cuda}};
  json.update(MeasuredJson(limits));
  return json;
}

std::string Describe(const DeviceLimits& limits) {
  return fmt::format(
      "{}: {}, {}, {} multiprocessors, {:.1f} of {:.1f} GB free\n"
      "reads {:.4g} GB/s, copies {:.4g} GB/s, tensor cores {:.4g} TFLOP/s\n"
      "a launch takes the host {:.2f} us, an empty kernel the device {:.2f} us, {}\n",
      limits.device, limits.name, limits.architecture, limits.num_multiprocessors,
      static_cast<double>(limits.free_bytes) * 1e-9,
      static_cast<double>(limits.memory_bytes) * 1e-9, limits.read_gb_per_s, limits.copy_gb_per_s,
      limits.tensor_tflop_per_s, limits.launch_us, limits.empty_kernel_us,
      limits.graph_node_us ? fmt::format("{:.2f} us in a graph", *limits.graph_node_us)
                           : "and there are no graphs");
}

}  // namespace phalanx
