// Sleeping on a 32-bit word in memory that threads or processes share (Linux futex, the kind that
// also works between processes).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace phalanx {

// Sleeps while `word` holds `expected`, until FutexWakeAll or `timeout`. May return early: callers
// look at the word again.
void FutexWait(const std::atomic<uint32_t>& word, uint32_t expected,
               std::chrono::nanoseconds timeout);

void FutexWakeAll(const std::atomic<uint32_t>& word);

}  // namespace phalanx
