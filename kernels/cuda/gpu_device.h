// A GPU of this host as a device. For what nvcc compiles.
#pragma once

#include <memory>

#include "kernels/cuda/device.h"
#include "kernels/gpu_place.h"

namespace phalanx::cuda::device {

// The GPU that `place` says, as CUDA_VISIBLE_DEVICES numbers them. Errors are CreateGpuBackend's
// (kernels/cuda/gpu_backend.h).
StatusOr<std::unique_ptr<Device>> OpenGpu(const GpuPlace& place);

}  // namespace phalanx::cuda::device
