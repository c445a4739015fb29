// The probes of bench/device_limits.h on either machine. Anybody compiles this header.
#pragma once

#include <cstddef>
#include <memory>

#include "bench/device_limits.h"
#include "kernels/gpu_place.h"

namespace phalanx::cuda {

StatusOr<std::unique_ptr<DeviceProbe>> OpenGpuProbe(const GpuPlace& place);
StatusOr<std::unique_ptr<DeviceProbe>> OpenEmulatedProbe(size_t memory_bytes);

}  // namespace phalanx::cuda
