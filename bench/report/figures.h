// The figures of a run as one flat list.
#pragma once

#include "bench/report/run_data.h"
#include "bench/report/summary.h"

namespace phalanx::report {

inline constexpr std::string_view kLimitsSection = "Limits";
inline constexpr std::string_view kOpsSection = "Ops";
inline constexpr std::string_view kDecodeSection = "Decode";
inline constexpr std::string_view kPrefillSection = "Prefill";
inline constexpr std::string_view kLoadSection = "Load";
inline constexpr std::string_view kScalingSection = "Scaling";

std::vector<Figure> FiguresOf(const RunData& run);

}  // namespace phalanx::report
