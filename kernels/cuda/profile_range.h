// A named range on the timeline of NVIDIA's profilers, from construction to destruction; costs next
// to nothing where none listens. The emulated device has no timeline.
#pragma once

#ifdef __CUDACC__
#include <nvtx3/nvToolsExt.h>
#endif

#include "kernels/cuda/primitives.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

class ProfileRange {
 public:
  // `name` ends with a zero.
#ifdef __CUDACC__
  explicit ProfileRange(const char* name) { nvtxRangePushA(name); }
  ~ProfileRange() { nvtxRangePop(); }
#else
  explicit ProfileRange(const char*) {}
#endif
  ProfileRange(const ProfileRange&) = delete;
  ProfileRange& operator=(const ProfileRange&) = delete;
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
