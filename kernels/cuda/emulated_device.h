// A device that the CPU executes (kernels/cuda/emulation): strict, and thousands of times slower.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/cuda/device.h"

namespace phalanx::cuda::emulated {

// `memory_bytes` of global memory, `max_shared_bytes` for each block; threads and blocks run in an
// order that follows from `seed`. RESOURCE_EXHAUSTED where the process may not have the address
// space.
StatusOr<std::unique_ptr<Device>> OpenEmulatedDevice(
    size_t memory_bytes, uint64_t seed,
    size_t max_shared_bytes = emulation::Executor::kMaxSharedBytes);

}  // namespace phalanx::cuda::emulated
