// For tests that work does not grow faster than its input: other processes do not count.
#pragma once

#include <ctime>

namespace phalanx::testing {

// Of the calling thread.
template <typename Action>
double CpuSecondsOf(Action action) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  action();
  return now() - begin;
}

}  // namespace phalanx::testing
