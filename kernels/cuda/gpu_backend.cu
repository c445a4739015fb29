#include <cuda_runtime.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>

#include "kernels/cuda/gpu_backend.h"
#include "kernels/cuda/gpu_device.h"
#include "kernels/gpu_facts.h"

namespace phalanx::cuda {
namespace device {
namespace {

std::string_view Text(cudaError_t error) { return cudaGetErrorString(error); }

class Gpu final : public Device {
 public:
  Gpu(int index, const cudaDeviceProp& properties, cudaStream_t compute, cudaStream_t copy)
      : index_(index),
        num_multiprocessors_(properties.multiProcessorCount),
        max_shared_bytes_(properties.sharedMemPerBlockOptin),
        architecture_(fmt::format("sm_{}{}", properties.major, properties.minor)),
        stream_(compute),
        copy_stream_(copy) {}
  ~Gpu() override {
    Select();
    cudaStreamDestroy(stream_.handle());
    cudaStreamDestroy(copy_stream_);
  }

  std::string_view name() const override { return "cuda"; }
  std::string_view architecture() const override { return architecture_; }
  int num_multiprocessors() const override { return num_multiprocessors_; }
  size_t max_shared_bytes() const override { return max_shared_bytes_; }

  int64_t FreeBytes() const override {
    Select();
    size_t free = 0;
    size_t total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? static_cast<int64_t>(free) : 0;
  }
  void CopyToDevice(void* to, const void* from, size_t bytes) override {
    Copy(stream_.handle(), to, from, bytes, cudaMemcpyHostToDevice);
    Synchronize(stream_.handle());
  }
  void CopyToHost(void* to, const void* from, size_t bytes) override {
    Copy(stream_.handle(), to, from, bytes, cudaMemcpyDeviceToHost);
    Synchronize(stream_.handle());
  }
  void Send(Queue queue, void* to, const void* from, size_t bytes) override {
    Copy(StreamOf(queue), to, from, bytes, cudaMemcpyHostToDevice);
  }
  void Fetch(void* to, const void* from, size_t bytes) override {
    Copy(stream_.handle(), to, from, bytes, cudaMemcpyDeviceToHost);
  }
  StatusOr<std::unique_ptr<Event>> CreateEvent() override {
    Select();
    cudaEvent_t event = nullptr;
    const cudaError_t error = cudaEventCreate(&event);
    if (error != cudaSuccess) {
      return ResourceExhaustedError("GPU {}: cannot create an event: {}", index_, Text(error));
    }
    return std::make_unique<Mark>(*this, event);
  }
  Status Finish() override {
    Select();
    Synchronize(copy_stream_);
    Synchronize(stream_.handle());
    const std::lock_guard lock(mutex_);
    return stream_.status();
  }
  void Note(Status status) override {
    const std::lock_guard lock(mutex_);
    stream_.Note(std::move(status));
  }
  Stream& stream() override { return stream_; }
  void* stream_handle() override { return stream_.handle(); }

 private:
  class Mark final : public Event {
   public:
    Mark(Gpu& gpu, cudaEvent_t event) : gpu_(gpu), event_(event) {}
    ~Mark() override {
      gpu_.Select();
      cudaEventDestroy(event_);
    }
    void Record(Queue queue) override {
      gpu_.Select();
      gpu_.Check("an event", cudaEventRecord(event_, gpu_.StreamOf(queue)));
    }
    void Wait() override {
      gpu_.Select();
      gpu_.Check("an event's wait", gpu_.WaitFor([&] { return cudaEventQuery(event_); },
                                                 [&] { return cudaEventSynchronize(event_); }));
    }
    double SecondsSince(const Event& begin) const override {
      float milliseconds = 0;
      gpu_.Select();
      const auto& since = static_cast<const Mark&>(begin);
      gpu_.Check("an event's time", cudaEventElapsedTime(&milliseconds, since.event_, event_));
      return 1e-3 * static_cast<double>(milliseconds);
    }

   private:
    Gpu& gpu_;
    cudaEvent_t event_;
  };

  StatusOr<void*> TakeDevice(size_t bytes, std::string_view name) override {
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
  void ReturnDevice(void* p) override {
    Select();
    cudaFree(p);
  }
  StatusOr<void*> TakeHost(size_t bytes, std::string_view name) override {
    Select();
    void* p = nullptr;
    const cudaError_t error = cudaHostAlloc(&p, std::max<size_t>(bytes, 1), cudaHostAllocDefault);
    if (error == cudaSuccess) return p;
    cudaGetLastError();
    return ResourceExhaustedError("{}: cannot pin {} bytes of the host's memory: {}", name, bytes,
                                  Text(error));
  }
  void ReturnHost(void* p) override {
    Select();
    cudaFreeHost(p);
  }
  Parts parts() const override { return Parts::kTogether; }

  // The current device is each thread's own.
  void Select() const { cudaSetDevice(index_); }
  cudaStream_t StreamOf(Queue queue) const {
    return queue == Queue::kCompute ? stream_.handle() : copy_stream_;
  }

  // What another library enqueued may wait for another process, for ever where that is gone.
  // `query` says whether the work is over, `wait` waits for it.
  template <typename Query, typename Wait>
  cudaError_t WaitFor(Query query, Wait wait) {
    const ComputeWait marked(*this);
    if (watch() == nullptr) return wait();
    using Clock = std::chrono::steady_clock;
    constexpr auto kBetweenChecks = std::chrono::milliseconds(1);
    for (Clock::time_point next_check = Clock::now() + kBetweenChecks;;) {
      const cudaError_t error = query();
      if (error != cudaErrorNotReady) return error;
      cudaGetLastError();  // the thread's next launch is not to blame for that
      if (Clock::now() < next_check) continue;
      if (const Status status = watch()->Check(); !status.ok()) {
        const std::lock_guard lock(mutex_);
        stream_.Note(status);
        return cudaSuccess;
      }
      next_check = Clock::now() + kBetweenChecks;
    }
  }

  void Check(std::string_view what, cudaError_t error) {
    if (error == cudaSuccess) return;
    const std::lock_guard lock(mutex_);
    stream_.Note(InternalError("GPU {}: {}: {}, at or before kernel {}", index_, what, Text(error),
                               stream_.last_kernel()));
  }
  void Copy(cudaStream_t stream, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return;
    Select();
    const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, stream);
    if (error != cudaSuccess) Check(fmt::format("a copy of {} bytes", bytes), error);
  }
  void Synchronize(cudaStream_t stream) {
    Check("waiting", WaitFor([&] { return cudaStreamQuery(stream); },
                             [&] { return cudaStreamSynchronize(stream); }));
    if (stream == stream_.handle()) EndCollectives();
  }

  int index_;
  int num_multiprocessors_;
  size_t max_shared_bytes_;
  std::string architecture_;
  std::mutex mutex_;
  Stream stream_;
  cudaStream_t copy_stream_;
};

// Compiled as all kernels are: what cannot load it can load none of them.
__global__ void ProbeKernel() {}

// The driver cannot make machine code for this GPU of what the build has: mostly PTX of a later
// CUDA than it knows.
bool IsOfKernelImages(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorInvalidKernelImage:
    case cudaErrorInvalidPtx:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      return true;
    default:
      return false;
  }
}

}  // namespace

StatusOr<std::unique_ptr<Device>> OpenGpu(const GpuPlace& place) {
  CudaHostFacts host;
  cudaDriverGetVersion(&host.driver_version);
  cudaRuntimeGetVersion(&host.runtime_version);
  const cudaError_t found = cudaGetDeviceCount(&host.num_gpus);
  if (found != cudaSuccess) host.num_gpus = 0;
  host.count_text = Text(found);
  PHALANX_RETURN_IF_ERROR(CheckCudaHost(host));
  PHALANX_RETURN_IF_ERROR(CheckGpuPlace(place, host.num_gpus));
  const int index = GpuIndex(place);
  cudaDeviceProp properties{};
  cudaStream_t compute = nullptr;
  cudaStream_t copy = nullptr;
  cudaError_t error = cudaGetDeviceProperties(&properties, index);
  if (error == cudaSuccess) {
    PHALANX_RETURN_IF_ERROR(CheckGpu({.index = index,
                                      .name = properties.name,
                                      .major = properties.major,
                                      .minor = properties.minor,
                                      .max_shared_bytes = properties.sharedMemPerBlockOptin}));
    error = cudaSetDevice(index);
  }
  if (error == cudaSuccess) {
    cudaFuncAttributes attributes{};
    error = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(ProbeKernel));
  }
  if (IsOfKernelImages(error)) {
    return InvalidField(
        "--device", "cuda",
        fmt::format("cpu, or a driver for CUDA {}.{} or later: this host's is for CUDA {}.{}, and "
                    "GPU {}, {}, loads no kernel: {}",
                    host.runtime_version / 1000, host.runtime_version % 1000 / 10,
                    host.driver_version / 1000, host.driver_version % 1000 / 10, index,
                    properties.name, Text(error)));
  }
  for (cudaStream_t* const stream : {&compute, &copy}) {
    if (error == cudaSuccess) error = cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
  }
  if (error != cudaSuccess) {
    return ResourceExhaustedError("GPU {} cannot be used: {}", index, Text(error));
  }
  return std::make_unique<Gpu>(index, properties, compute, copy);
}

}  // namespace device

StatusOr<std::unique_ptr<Backend>> CreateGpuBackend(const CudaBackendOptions& options,
                                                    const GpuPlace& place) {
  PHALANX_ASSIGN_OR_RETURN(auto gpu, device::OpenGpu(place));
  return device::CreateCudaBackend(options, std::move(gpu));
}

}  // namespace phalanx::cuda
