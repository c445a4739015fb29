// For tests that work does not grow faster than its input, by ratios: neither other processes nor
// sanitizers change them much.
#pragma once

#include <algorithm>
#include <ctime>
#include <limits>

namespace phalanx::testing {

// Of the calling thread, the best of three.
template <typename Action>
double CpuSecondsOf(Action action) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 3; ++i) {
    const double begin = now();
    action();
    best = std::min(best, now() - begin);
  }
  return best;
}

// How many times longer `run(make(4 * size))` takes than `run(make(size))`, without the making:
// about 4 where the work is linear, about 16 where it is quadratic.
template <typename Make, typename Run>
double GrowthWithFourTimes(int size, Make make, Run run) {
  const auto small = make(size);
  const auto large = make(4 * size);
  const double seconds = CpuSecondsOf([&] { run(small); });
  return CpuSecondsOf([&] { run(large); }) / seconds;
}

inline constexpr double kLinearGrowth = 9;  // less than this; room for caches

}  // namespace phalanx::testing
