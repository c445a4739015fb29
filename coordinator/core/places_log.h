// When the log is to say that the worker group runs more or fewer sequences at once than it did:
// not while the number only drifts, and not often where it goes up and down.
//
// Pure. Not thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "coordinator/core/clock.h"

namespace phalanx {

class PlacesLog {
 public:
  // A new group, which can run so many.
  void Reset(int32_t num_places) {
    said_ = num_places;
    last_.reset();
  }
  // What was last said, where that is wrong by half or more and ten seconds old.
  std::optional<int32_t> Update(int32_t num_places, Clock::time_point now) {
    constexpr std::chrono::seconds kBetweenLines(10);
    const auto [less, more] = std::minmax(said_, num_places);
    if (2 * more < 3 * less || less == more) return std::nullopt;
    if (last_ && now - *last_ < kBetweenLines) return std::nullopt;
    last_ = now;
    return std::exchange(said_, num_places);
  }

 private:
  int32_t said_ = 0;
  std::optional<Clock::time_point> last_;  // line
};

}  // namespace phalanx
