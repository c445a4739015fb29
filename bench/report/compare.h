// Two runs side by side.
#pragma once

#include <string>

#include "bench/report/summary.h"

namespace phalanx::report {

struct Comparison {
  std::string text;
  int num_broken = 0;  // stages and tests that passed before and fail now
};

// First what makes the two hard to compare and what broke, then the figures by how much they moved;
// those that moved by no more than `threshold` (0.03: by 3 %) are only counted.
Comparison Compare(const Summary& before, const Summary& after, double threshold);

}  // namespace phalanx::report
