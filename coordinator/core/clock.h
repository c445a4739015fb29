// The clock of deadlines and durations.
#pragma once

#include <chrono>

namespace phalanx {

using Clock = std::chrono::steady_clock;

}  // namespace phalanx
