// The ops of a forward pass as CUDA kernels, on a GPU or on an emulated device.
//
// Activations, the KV cache and weights are of one 16-bit type; the residual stream, partial sums
// and logits are f32, and so are all accumulations (kernels/backend.h). Ops are enqueued on the
// device's stream; errors are kept there until Finish().
//
// Exact numerics give a row the same bits in any batch, chunking and cache state; fast ones pick
// kernels by the number of rows.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/cuda/device.h"
#include "kernels/numerics.h"

namespace phalanx::cuda {

struct CudaBackendOptions {
  DType activation_dtype = DType::kBF16;  // or kF16
  Numerics numerics = Numerics::kExact;
  OpProfile op_profile = OpProfile::kOff;
};

namespace PHALANX_CUDA_NAMESPACE {

std::unique_ptr<Backend> CreateCudaBackend(const CudaBackendOptions& options,
                                           std::unique_ptr<Device> device);

}  // namespace PHALANX_CUDA_NAMESPACE
}  // namespace phalanx::cuda
