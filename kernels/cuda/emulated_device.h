// A device that the CPU executes (kernels/cuda/emulation): strict, and thousands of times slower.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/cuda/device.h"

namespace phalanx::cuda::emulated {

// `memory_bytes` of global memory; threads and blocks run in an order that follows from `seed`.
// RESOURCE_EXHAUSTED where the process may not have the address space.
StatusOr<std::unique_ptr<Device>> OpenEmulatedDevice(size_t memory_bytes, uint64_t seed);

}  // namespace phalanx::cuda::emulated
