#include <cuda_runtime.h>

#include "bench/limits_kernels.h"
#include "bench/limits_machine.h"
#include "bench/limits_probe.h"
#include "kernels/cuda/gpu_device.h"

namespace phalanx::cuda {
namespace device {
namespace {

Status Failed(const char* what, cudaError_t error) {
  return InternalError("{}: {}", what, cudaGetErrorString(error));
}

// A chain of empty kernels.
class EmptyGraph {
 public:
  ~EmptyGraph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
  }
  EmptyGraph() = default;
  EmptyGraph(const EmptyGraph&) = delete;
  EmptyGraph& operator=(const EmptyGraph&) = delete;

  Status Capture(Stream& stream, int num_nodes) {
    cudaError_t error = cudaStreamBeginCapture(stream.handle(), cudaStreamCaptureModeThreadLocal);
    if (error != cudaSuccess) return Failed("cudaStreamBeginCapture", error);
    for (int node = 0; node < num_nodes; ++node) LaunchEmpty(stream);
    error = cudaStreamEndCapture(stream.handle(), &graph_);
    if (error == cudaSuccess) error = cudaGraphInstantiate(&executable_, graph_, 0);
    if (error == cudaSuccess) error = cudaGraphUpload(executable_, stream.handle());
    return error == cudaSuccess ? stream.status() : Failed("a graph's making", error);
  }
  Status Replay(Stream& stream) {
    const cudaError_t error = cudaGraphLaunch(executable_, stream.handle());
    return error == cudaSuccess ? OkStatus() : Failed("cudaGraphLaunch", error);
  }

 private:
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

class GpuMachine final : public LimitsMachine {
 public:
  GpuMachine(std::unique_ptr<Device> device, int index)
      : device_(std::move(device)), index_(index) {}

  Device& device() override { return *device_; }
  StatusOr<MachineFacts> facts() const override {
    MachineFacts facts;
    cudaDeviceProp properties{};
    cudaError_t error = cudaGetDeviceProperties(&properties, index_);
    if (error == cudaSuccess) error = cudaDriverGetVersion(&facts.driver_cuda);
    if (error == cudaSuccess) error = cudaRuntimeGetVersion(&facts.runtime_cuda);
    if (error != cudaSuccess) return Failed("a GPU's properties", error);
    facts.name = properties.name;
    facts.memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    return facts;
  }
  // Several milliseconds of arithmetic on the fastest GPUs.
  ProbeSizes sizes() const override {
    return {.least_bytes = int64_t{256} << 20,
            .most_bytes = int64_t{4} << 30,
            .tensor_rounds = 20'000,
            .num_launches = 512,
            .num_passes = 7,
            .warm_up_seconds = 0.3};
  }
  StatusOr<std::optional<double>> SecondsOfGraphNode() override {
    constexpr int kNodes = 512;
    constexpr int kReplays = 8;
    Stream& stream = device_->stream();
    PHALANX_ASSIGN_OR_RETURN(const auto begin, device_->CreateEvent());
    PHALANX_ASSIGN_OR_RETURN(const auto end, device_->CreateEvent());
    EmptyGraph graph;
    PHALANX_RETURN_IF_ERROR(device_->Finish());
    PHALANX_RETURN_IF_ERROR(graph.Capture(stream, kNodes));
    // The first one may cost more.
    PHALANX_RETURN_IF_ERROR(graph.Replay(stream));
    begin->Record(Queue::kCompute);
    for (int replay = 0; replay < kReplays; ++replay) {
      PHALANX_RETURN_IF_ERROR(graph.Replay(stream));
    }
    end->Record(Queue::kCompute);
    begin->Wait();
    end->Wait();
    PHALANX_RETURN_IF_ERROR(device_->Finish());
    return std::optional(end->SecondsSince(*begin) / (kNodes * kReplays));
  }

 private:
  std::unique_ptr<Device> device_;
  int index_;
};

}  // namespace
}  // namespace device

StatusOr<std::unique_ptr<DeviceProbe>> OpenGpuProbe(const GpuPlace& place) {
  PHALANX_ASSIGN_OR_RETURN(auto gpu, device::OpenGpu(place));
  return device::CreateProbe(std::make_unique<device::GpuMachine>(std::move(gpu), GpuIndex(place)));
}

}  // namespace phalanx::cuda
