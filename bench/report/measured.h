// The page that says what was measured on a GPU: docs/measured.md.
#pragma once

#include <optional>
#include <string>

#include "bench/report/summary.h"

namespace phalanx::report {

// Of one run; without one, and of a run on another device than "cuda", every place says "not yet
// measured".
std::string MeasuredPage(const std::optional<Summary>& run);

}  // namespace phalanx::report
