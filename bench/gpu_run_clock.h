// RunClock on a GPU. Its source is compiled by nvcc, and this header by anybody.
#pragma once

#include <memory>

#include "bench/run_clock.h"

namespace phalanx::cuda {

// For a backend on a GPU; `backend` outlives it.
StatusOr<std::unique_ptr<RunClock>> CreateGpuRunClock(Backend& backend);

}  // namespace phalanx::cuda
