// Reads the folder that launch/gpu-check.sh leaves.
#pragma once

#include <filesystem>

#include "bench/report/json_reader.h"
#include "bench/report/run_data.h"
#include "kernels/base/status.h"

namespace phalanx::report {

// NOT_FOUND naming the path where there is no such folder. Files that are missing, cut off or wrong
// are notes of the run.
StatusOr<RunData> ReadRun(const std::filesystem::path& run);

// What programs measured, from the JSON files of `raw`.
void ReadMeasurements(const std::filesystem::path& raw, RunData& run);

}  // namespace phalanx::report
