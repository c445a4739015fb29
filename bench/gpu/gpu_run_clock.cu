#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>

#include "bench/gpu_run_clock.h"

namespace phalanx::cuda {
namespace {

__device__ unsigned long long Nanoseconds() {
  unsigned long long now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

// Ends by itself: a run may wait for the device, and so for this.
__global__ void HoldKernel(unsigned long long nanoseconds) {
  const unsigned long long begin = Nanoseconds();
  while (Nanoseconds() - begin < nanoseconds) {
  }
}

Status StatusOf(const char* what, cudaError_t error) {
  return error == cudaSuccess ? OkStatus()
                              : InternalError("{}: {}", what, cudaGetErrorString(error));
}

class GpuRunClock final : public RunClock {
 public:
  GpuRunClock(Backend& backend, cudaEvent_t begin, cudaEvent_t end)
      : backend_(backend),
        stream_(static_cast<cudaStream_t>(backend.device_queue()->stream_handle())),
        begin_(begin),
        end_(end) {}
  ~GpuRunClock() override {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }

  StatusOr<double> SecondsOf(const Run& run, int64_t runs) override {
    using Clock = std::chrono::steady_clock;
    PHALANX_RETURN_IF_ERROR(backend_.Finish());
    const double hold_s = std::min(kMostHoldSeconds, 2 * enqueue_s_ * static_cast<double>(runs));
    HoldKernel<<<1, 1, 0, stream_>>>(static_cast<unsigned long long>(hold_s * 1e9));
    PHALANX_RETURN_IF_ERROR(StatusOf("a launch of the clock", cudaGetLastError()));
    PHALANX_RETURN_IF_ERROR(StatusOf("an event", cudaEventRecord(begin_, stream_)));
    const Clock::time_point began = Clock::now();
    for (int64_t i = 0; i < runs; ++i) PHALANX_RETURN_IF_ERROR(run(i));
    const double enqueued_s = std::chrono::duration<double>(Clock::now() - began).count();
    PHALANX_RETURN_IF_ERROR(StatusOf("an event", cudaEventRecord(end_, stream_)));
    PHALANX_RETURN_IF_ERROR(backend_.Finish());
    enqueue_s_ = enqueued_s / static_cast<double>(runs);
    float milliseconds = 0;
    PHALANX_RETURN_IF_ERROR(
        StatusOf("an event's time", cudaEventElapsedTime(&milliseconds, begin_, end_)));
    return 1e-3 * static_cast<double>(milliseconds);
  }
  // With few kernels a run they fit into the GPU's queue.
  int64_t most_runs() const override { return 256; }

 private:
  static constexpr double kMostHoldSeconds = 5e-3;

  Backend& backend_;
  cudaStream_t stream_;
  cudaEvent_t begin_;
  cudaEvent_t end_;
  double enqueue_s_ = 10e-6;  // of a run, by the host's clock when it was enqueued last
};

}  // namespace

StatusOr<std::unique_ptr<RunClock>> CreateGpuRunClock(Backend& backend) {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  PHALANX_RETURN_IF_ERROR(StatusOf("cudaEventCreate", cudaEventCreate(&begin)));
  PHALANX_RETURN_IF_ERROR(StatusOf("cudaEventCreate", cudaEventCreate(&end)));
  return StatusOr<std::unique_ptr<RunClock>>(std::make_unique<GpuRunClock>(backend, begin, end));
}

}  // namespace phalanx::cuda
