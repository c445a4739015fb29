#include "kernels/backend_factory.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "kernels/base/cpus.h"
#include "kernels/cpu/cpu_backend.h"

#ifdef PHALANX_HAS_CUDA_EMULATION
#include "kernels/cuda/cuda_backend.h"
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
#ifdef PHALANX_HAS_CUDA_EMULATION
  return {"cpu", "cuda-emulated"};
#else
  return {"cpu"};
#endif
}

StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options) {
  if (options.num_threads < 0 || options.num_threads > kMaxThreads) {
    return InvalidField("--threads", options.num_threads, fmt::format("0 to {}", kMaxThreads));
  }
  PHALANX_ASSIGN_OR_RETURN(const CpuIsa isa, ParseIsa(options.cpu_isa));
  const int usable = options.cpus.empty() ? NumUsableCpus() : static_cast<int>(options.cpus.size());
  auto cpu = std::make_unique<CpuBackend>(CpuBackendOptions{
      .isa = isa,
      .threads = {.num_threads = options.num_threads == 0 ? usable : options.num_threads,
                  .cpus = options.cpus}});
  if (options.device == "cpu") {
    if (options.activation_dtype.value_or(DType::kF32) != DType::kF32) {
      return InvalidField("--dtype", Name(*options.activation_dtype), "F32 on CPUs");
    }
    if (options.numerics != Numerics::kExact) {
      return InvalidField("--numerics", "fast", "exact on CPUs");
    }
    return cpu;
  }
#ifdef PHALANX_HAS_CUDA_EMULATION
  if (options.device == "cuda-emulated") {
    const DType dtype = options.activation_dtype.value_or(DType::kBF16);
    if (dtype != DType::kBF16 && dtype != DType::kF16) {
      return InvalidField("--dtype", Name(dtype), "BF16, F16 on CUDA devices");
    }
    constexpr uint64_t kSeed = 1;
    PHALANX_ASSIGN_OR_RETURN(auto device,
                             cuda::emulated::Device::Open(options.device_memory_bytes, kSeed));
    return cuda::emulated::CreateCudaBackend(
        {.activation_dtype = dtype, .numerics = options.numerics}, std::move(device),
        std::move(cpu));
  }
#endif
  return InvalidField("--device", options.device,
                      fmt::format("{}", fmt::join(AvailableDevices(), ", ")));
}

}  // namespace phalanx
