#include "kernels/backend_factory.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "kernels/base/cpus.h"
#include "kernels/cpu/cpu_backend.h"

#ifdef PHALANX_HAS_CUDA_EMULATION
#include "kernels/cuda/emulated_device.h"
#endif
#if defined(PHALANX_HAS_CUDA_EMULATION) || defined(PHALANX_HAS_CUDA)
#include "kernels/cuda/gpu_backend.h"
#endif

namespace phalanx {
namespace {

constexpr int kMaxThreads = 1024;

StatusOr<CpuIsa> ParseIsa(const std::string& name) {
  const std::vector<CpuIsa> available = AvailableIsas();
  if (name.empty()) return available.front();
  for (const CpuIsa isa : available) {
    if (Name(isa) == name) return isa;
  }
  return InvalidField("--cpu-isa", name, fmt::format("{}", fmt::join(AvailableCpuIsas(), ", ")));
}

}  // namespace

std::vector<std::string> AvailableCpuIsas() {
  std::vector<std::string> names;
  for (const CpuIsa isa : AvailableIsas()) names.emplace_back(Name(isa));
  return names;
}

std::vector<std::string> AvailableDevices() {
  std::vector<std::string> devices = {"cpu"};
#ifdef PHALANX_HAS_CUDA
  devices.emplace_back("cuda");
#endif
#ifdef PHALANX_HAS_CUDA_EMULATION
  devices.emplace_back("cuda-emulated");
#endif
  return devices;
}

namespace {

StatusOr<std::unique_ptr<Backend>> CheckCpu(const BackendOptions& options,
                                            std::unique_ptr<Backend> cpu) {
  const DType dtype = cpu->activation_dtype();
  if (dtype != DType::kF32 && dtype != DType::kBF16) {
    return InvalidField("--dtype", Name(dtype), "F32, BF16 on CPUs");
  }
  if (options.numerics != Numerics::kExact) {
    return InvalidField("--numerics", "fast", "exact on CPUs");
  }
  return cpu;
}

#if defined(PHALANX_HAS_CUDA_EMULATION) || defined(PHALANX_HAS_CUDA)
StatusOr<std::unique_ptr<Backend>> CreateCuda(const BackendOptions& options) {
  const DType dtype = options.activation_dtype.value_or(DType::kBF16);
  if (dtype != DType::kBF16 && dtype != DType::kF16) {
    return InvalidField("--dtype", Name(dtype), "BF16, F16 on CUDA devices");
  }
  const cuda::CudaBackendOptions cuda_options{
      .activation_dtype = dtype, .numerics = options.numerics, .op_profile = options.op_profile};
#ifdef PHALANX_HAS_CUDA
  if (options.device == "cuda") {
    return cuda::CreateGpuBackend(cuda_options, options.gpu);
  }
#endif
#ifdef PHALANX_HAS_CUDA_EMULATION
  constexpr uint64_t kSeed = 1;
  PHALANX_ASSIGN_OR_RETURN(auto device,
                           cuda::emulated::OpenEmulatedDevice(options.device_memory_bytes, kSeed));
  return cuda::emulated::CreateCudaBackend(cuda_options, std::move(device));
#else
  return InternalError("no device {}", options.device);
#endif
}
#endif

}  // namespace

void PrepareEnvironment(const std::string& device) {
  // Else each kernel is loaded at its first launch, into memory that the KV pool may have taken.
  constexpr int kKeepWhatIsSet = 0;
  if (device == "cuda") setenv("CUDA_MODULE_LOADING", "EAGER", kKeepWhatIsSet);
}

StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options) {
  const std::vector<std::string> devices = AvailableDevices();
  if (std::find(devices.begin(), devices.end(), options.device) == devices.end()) {
    return InvalidField("--device", options.device, fmt::format("{}", fmt::join(devices, ", ")));
  }
  if (options.num_threads < 0 || options.num_threads > kMaxThreads) {
    return InvalidField("--threads", options.num_threads, fmt::format("0 to {}", kMaxThreads));
  }
  PHALANX_ASSIGN_OR_RETURN(const CpuIsa isa, ParseIsa(options.cpu_isa));
#if defined(PHALANX_HAS_CUDA_EMULATION) || defined(PHALANX_HAS_CUDA)
  if (options.device != "cpu") return CreateCuda(options);
#endif
  const int usable = options.cpus.empty() ? NumUsableCpus() : static_cast<int>(options.cpus.size());
  auto cpu = std::make_unique<CpuBackend>(CpuBackendOptions{
      .isa = isa,
      .activation_dtype = options.activation_dtype.value_or(DType::kF32),
      .threads = {.num_threads = options.num_threads == 0 ? usable : options.num_threads,
                  .cpus = options.cpus},
      .op_profile = options.op_profile});
  return CheckCpu(options, std::move(cpu));
}

}  // namespace phalanx
