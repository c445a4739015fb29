// The one place that knows which backends this build has.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/gpu_place.h"
#include "kernels/numerics.h"

namespace phalanx {

struct BackendOptions {
  std::string device = "cpu";  // one of AvailableDevices()
  // Of activations: kF32 or kBF16 on CPUs, kBF16 or kF16 on CUDA devices. Empty: the first of
  // these.
  std::optional<DType> activation_dtype{};
  Numerics numerics = Numerics::kExact;          // CPUs know no other
  OpProfile op_profile = OpProfile::kOff;        // Backend::TakenTimes
  GpuPlace gpu{};                                // of --device cuda
  size_t device_memory_bytes = size_t{4} << 30;  // of an emulated device
  int num_threads = 0;  // compute threads of this rank, the caller included; 0: one per usable core
  std::string cpu_isa{};  // empty: the best that the machine has; else one of AvailableCpuIsas()
  // CPUs that the compute threads may run on, the calling thread included; empty: leave the
  // affinity mask alone. For launchers that pin a rank to fewer CPUs than it has threads.
  std::vector<int> cpus{};
};

// What a process that is to compute on `device` tells the device's libraries in the environment.
// Before the process has threads: others may read the environment meanwhile.
void PrepareEnvironment(const std::string& device);

// INVALID_ARGUMENT naming --device, --dtype, --numerics, --threads or --cpu-isa, the value and what
// this build and machine allow.
StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options);

// Devices that this build can compute on: "cpu", and "cuda-emulated" where the CUDA kernels are
// built for the CPU, which is for tests and never fast.
std::vector<std::string> AvailableDevices();

// Instruction sets that this build has and this machine supports, best first, e.g. {"amx",
// "avx512", "avx2", "portable"}.
std::vector<std::string> AvailableCpuIsas();

}  // namespace phalanx
