// What a rank's cores or its device can do, beside which bench_e2e shows what the engine does.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/backend_factory.h"

namespace phalanx {

struct ArithmeticPeak {
  std::string name;  // "fma", "tile", "tensor"
  double gflop_per_s = 0;
};

class LimitsProbe {
 public:
  virtual ~LimitsProbe() = default;
  // What this rank reads now: short, for between stretches of decode steps.
  virtual StatusOr<double> ReadGbPerS() = 0;
  // The first one is what prefill is compared with.
  virtual StatusOr<std::vector<ArithmeticPeak>> Peaks() = 0;
};

// Of the cores that `options` say, or of their device, whose free memory it takes a part of.
// RESOURCE_EXHAUSTED without memory.
StatusOr<std::unique_ptr<LimitsProbe>> CreateLimitsProbe(const BackendOptions& options);

}  // namespace phalanx
