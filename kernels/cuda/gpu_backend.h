// The backend on a GPU of this host. Its kernels are compiled by nvcc, and this header by anybody.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/gpu_place.h"

namespace phalanx::cuda {

// On the GPU of the host that `place` says, as CUDA_VISIBLE_DEVICES numbers them. INVALID_ARGUMENT
// naming --device: no driver, one that is older than this build's runtime, no such GPU, or one that
// cannot run the kernels (kernels/gpu_facts.h). RESOURCE_EXHAUSTED where it has no memory for a
// context.
StatusOr<std::unique_ptr<Backend>> CreateGpuBackend(const CudaBackendOptions& options,
                                                    const GpuPlace& place);

}  // namespace phalanx::cuda
