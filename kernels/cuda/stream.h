// A device's command queue as kernels' launchers see it, on either machine.
//
//   Launch<ScaleKernel<BF16>>(stream, "scale", {.grid_x = rows, .threads = 128}, params);
//
// Commands run in order. The first one that fails keeps its error, and nothing after it runs:
// status() then says which kernel it was.
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/base/status.h"
#include "kernels/cuda/primitives.h"

#ifndef __CUDACC__
#include "kernels/cuda/emulation/executor.h"
#endif

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

#ifdef __CUDACC__
struct LaunchShape {
  int grid_x = 1;
  int grid_y = 1;
  int threads = 32;
  size_t shared_bytes = 0;
};
#else
using emulation::LaunchShape;
#endif

class Stream {
 public:
#ifdef __CUDACC__
  explicit Stream(cudaStream_t stream) : stream_(stream) {}
  cudaStream_t handle() const { return stream_; }
#else
  explicit Stream(emulation::Executor& executor) : executor_(executor) {}
  emulation::Executor& executor() const { return executor_; }
#endif

  const Status& status() const { return status_; }
  // What was enqueued last; errors of kernels show later.
  std::string_view last_kernel() const { return last_kernel_; }
  void Enqueued(std::string_view kernel) { last_kernel_ = kernel; }
  // Keeps the first error.
  void Note(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

 private:
#ifdef __CUDACC__
  cudaStream_t stream_;
#else
  emulation::Executor& executor_;
#endif
  Status status_;
  std::string_view last_kernel_ = "none";
};

#ifndef __CUDACC__
// Copies the parameters to the thread's stack, where a kernel may read them; hence not
// instrumented.
template <typename Params, void (*kernel)(Params)>
[[gnu::no_sanitize_thread, gnu::noinline]] void RunThread(const void* params) {
  kernel(*static_cast<const Params*>(params));
}
#endif

#ifdef __CUDACC__
// Whether an error that a launch returns is surely its own: others may be of any kernel before it,
// since these run while the host goes on.
inline bool IsOfLaunch(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidValue:
    case cudaErrorLaunchOutOfResources:
    case cudaErrorNoKernelImageForDevice:
      return true;
    default:
      return false;
  }
}
#endif

template <auto kernel, typename Params>
void Launch(Stream& stream, std::string_view name, const LaunchShape& shape, const Params& params) {
  if (!stream.status().ok()) return;
  stream.Enqueued(name);
#ifdef __CUDACC__
  void* arguments[] = {const_cast<Params*>(&params)};
  cudaError_t error = cudaSuccess;
  if (shape.shared_bytes > 48 * 1024) {
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 static_cast<int>(shape.shared_bytes));
  }
  if (error == cudaSuccess) {
    error = cudaLaunchKernel(
        reinterpret_cast<const void*>(kernel),
        dim3(static_cast<unsigned>(shape.grid_x), static_cast<unsigned>(shape.grid_y)),
        dim3(static_cast<unsigned>(shape.threads)), arguments, shape.shared_bytes, stream.handle());
  }
  if (error != cudaSuccess) {
    stream.Note(InternalError("{}kernel {}: {}", IsOfLaunch(error) ? "" : "at or before ", name,
                              cudaGetErrorString(error)));
  }
#else
  stream.Note(stream.executor().Run(name, shape, {RunThread<Params, kernel>, &params}));
#endif
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
