// How a rank waits for its peers before it goes to sleep.
#pragma once

#include <chrono>

namespace phalanx {

// Spinning is the fastest where every rank has cores of its own; where ranks share cores it takes
// the core from the very rank that one waits for, so there one yields a few times instead.
struct WaitPolicy {
  std::chrono::nanoseconds spin{0};
  int yields = 16;
};

// For `num_ranks` ranks of one host with `threads_per_rank` busy threads each.
WaitPolicy MakeWaitPolicy(int num_ranks, int threads_per_rank);

// Waits a few cycles without leaving the core; for spin loops.
inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace phalanx
