// Linear on a device with memory of its own, beside cuBLAS where that is there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bench/cublas.h"
#include "bench/matmul_cases.h"
#include "kernels/backend_factory.h"

namespace phalanx {

struct DeviceLinearTime {
  int64_t bytes = 0;  // of the weight
  double flop = 0;
  double seconds = 0;                      // the median of the rounds
  std::optional<double> cublas_seconds{};  // where there is one
};

// Checks both against the double-precision oracle, in some rows and columns, and times them in
// turns: so many runs, one behind the other, that the host's clock can tell, over more weights than
// a GPU's cache holds. `cublas` may be null. INTERNAL naming who is wrong and where.
StatusOr<DeviceLinearTime> TimeDeviceLinear(Backend& backend, const MatmulShape& shape, int rounds,
                                            Cublas* cublas);

struct DeviceLinearOptions {
  BackendOptions backend;
  std::string filter;  // of shapes; empty: all
  int rounds = 9;
  enum class Format : uint8_t { kTable, kJson } format = Format::kTable;
};
// Prints all shapes of --op linear in the backend's type. The exit code.
int RunDeviceLinear(const DeviceLinearOptions& options);

}  // namespace phalanx
