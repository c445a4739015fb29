#include <cuda_runtime.h>

#include <algorithm>
#include <mutex>
#include <string>

#include "kernels/cuda/gpu_backend.h"

namespace phalanx::cuda {
namespace device {
namespace {

std::string_view Text(cudaError_t error) { return cudaGetErrorString(error); }

class Gpu final : public Device {
 public:
  Gpu(int index, const cudaDeviceProp& properties, cudaStream_t stream)
      : index_(index),
        num_multiprocessors_(properties.multiProcessorCount),
        architecture_(fmt::format("sm_{}{}", properties.major, properties.minor)),
        stream_(stream) {}
  ~Gpu() override {
    Select();
    cudaStreamDestroy(stream_.handle());
  }

  std::string_view name() const override { return "cuda"; }
  std::string_view architecture() const override { return architecture_; }
  int num_multiprocessors() const override { return num_multiprocessors_; }

  int64_t FreeBytes() const override {
    Select();
    size_t free = 0;
    size_t total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(free) : 0;
  }
  StatusOr<void*> Allocate(size_t bytes, std::string_view name) override {
    Select();
    void* p = nullptr;
    const size_t size = std::max<size_t>(bytes, 1);
    cudaError_t error = cudaMalloc(&p, size);
    if (error == cudaSuccess) error = cudaMemset(p, 0, size);
    if (error == cudaSuccess) error = cudaDeviceSynchronize();
    if (error == cudaSuccess) return p;
    cudaFree(p);
    cudaGetLastError();  // an allocation that failed is no error of later calls
    return ResourceExhaustedError("{}: cannot allocate {} bytes on GPU {}, {} are free: {}", name,
                                  bytes, index_, FreeBytes(), Text(error));
  }
  void Free(void* p) override {
    Select();
    cudaFree(p);
  }
  void CopyToDevice(void* to, const void* from, size_t bytes) override {
    // From pageable memory, which has been read when the call returns.
    Copy(to, from, bytes, cudaMemcpyHostToDevice);
  }
  void CopyToHost(void* to, const void* from, size_t bytes) override {
    Copy(to, from, bytes, cudaMemcpyDeviceToHost);
    stream_.Note(Finish());
  }
  Status Finish() override {
    Select();
    const cudaError_t error = cudaStreamSynchronize(stream_.handle());
    const std::lock_guard lock(mutex_);
    if (error != cudaSuccess) {
      stream_.Note(InternalError("GPU {}: {}, at or before kernel {}", index_, Text(error),
                                 stream_.last_kernel()));
    }
    return stream_.status();
  }
  Stream& stream() override { return stream_; }

 private:
  // The current device is each thread's own.
  void Select() const { cudaSetDevice(index_); }

  void Copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    Select();
    const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, stream_.handle());
    if (error == cudaSuccess) return;
    const std::lock_guard lock(mutex_);
    stream_.Note(InternalError("GPU {}: a copy of {} bytes: {}", index_, bytes, Text(error)));
  }

  int index_;
  int num_multiprocessors_;
  std::string architecture_;
  std::mutex mutex_;
  Stream stream_;
};

StatusOr<std::unique_ptr<Device>> OpenGpu(int index) {
  const auto refuse = [](std::string_view allowed) {
    return InvalidField("--device", "cuda", allowed);
  };
  int driver = 0;
  int runtime = 0;
  int count = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return refuse("cpu: this host has no CUDA driver");
  if (driver / 1000 < runtime / 1000) {
    return refuse(fmt::format("cpu, or a driver for CUDA {} or later: this host's is for CUDA {}",
                              runtime / 1000, driver / 1000));
  }
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess || count == 0) {
    return refuse(fmt::format("cpu: no GPU is usable here ({})", Text(found)));
  }
  if (index >= count) {
    return refuse(fmt::format("at most {} ranks on this host, one for each GPU", count));
  }
  cudaDeviceProp properties{};
  cudaStream_t stream = nullptr;
  cudaError_t error = cudaGetDeviceProperties(&properties, index);
  constexpr int kLeastMajor = 8;
  if (error == cudaSuccess && properties.major < kLeastMajor) {
    return refuse(fmt::format("GPUs from sm_80 on; GPU {}, {}, is sm_{}{}", index, properties.name,
                              properties.major, properties.minor));
  }
  if (error == cudaSuccess) error = cudaSetDevice(index);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error != cudaSuccess) {
    return ResourceExhaustedError("GPU {} cannot be used: {}", index, Text(error));
  }
  return std::make_unique<Gpu>(index, properties, stream);
}

}  // namespace
}  // namespace device

StatusOr<std::unique_ptr<Backend>> CreateGpuBackend(const CudaBackendOptions& options,
                                                    int device_index,
                                                    std::unique_ptr<Backend> host) {
  PHALANX_ASSIGN_OR_RETURN(auto gpu, device::OpenGpu(device_index));
  return device::CreateCudaBackend(options, std::move(gpu), std::move(host));
}

}  // namespace phalanx::cuda
