#include "kernels/backend_factory.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "kernels/base/cpus.h"
#include "kernels/cpu/cpu_backend.h"

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

StatusOr<std::unique_ptr<Backend>> CreateBackend(const BackendOptions& options) {
  if (options.device != "cpu") return InvalidField("--device", options.device, "cpu");
  if (options.num_threads < 0 || options.num_threads > kMaxThreads) {
    return InvalidField("--threads", options.num_threads, fmt::format("0 to {}", kMaxThreads));
  }
  PHALANX_ASSIGN_OR_RETURN(const CpuIsa isa, ParseIsa(options.cpu_isa));
  const int usable = options.cpus.empty() ? NumUsableCpus() : static_cast<int>(options.cpus.size());
  return std::make_unique<CpuBackend>(CpuBackendOptions{
      .isa = isa,
      .threads = {.num_threads = options.num_threads == 0 ? usable : options.num_threads,
                  .cpus = options.cpus}});
}

}  // namespace phalanx
