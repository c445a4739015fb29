// The one place that knows which backends this build has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace phalanx {

struct BackendOptions {
  std::string device = "cpu";  // "cpu"
  int num_threads = 0;  // compute threads of this rank, the caller included; 0: one per usable core
  std::string cpu_isa{};  // empty: the best that the machine has; else one of AvailableCpuIsas()
  // CPUs that the compute threads may run on, the calling thread included; empty: leave the
  // affinity mask alone. For launchers that pin a rank to fewer CPUs than it has threads.
  std::vector<int> cpus{};
};

// INVALID_ARGUMENT naming --device, --threads or --cpu-isa, the value and what this build and
// machine allow.
StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options);

// Instruction sets that this build has and this machine supports, best first, e.g. {"avx512",
// "avx2", "portable"}.
std::vector<std::string> AvailableCpuIsas();

}  // namespace phalanx
