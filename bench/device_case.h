// One op on one shape on a device with memory of its own: how to enqueue it, how to check it, what
// it must at least do.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/cublas.h"
#include "kernels/backend.h"

namespace phalanx {

// Enqueues one run. Runs that follow each other use other copies of what is to be cold.
using DeviceRun = std::function<Status(int64_t run)>;
// Runs once: what is wrong with the result, or "".
using DeviceCheck = std::function<StatusOr<std::string>()>;

struct DeviceCase {
  double bytes = 0;      // that one run must read or write at least once
  double flop = 0;       // of one run on tensor cores
  int64_t rotation = 1;  // runs after which memory is the same again
  DeviceRun run{};
  DeviceCheck check{};
  // The same by cuBLAS; empty where there is none.
  DeviceRun cublas_run{};
  DeviceCheck cublas_check{};
};

// What cases are made for.
struct DeviceBench {
  Backend& backend;  // not yet prepared for steps
  Cublas* cublas;    // may be null
  // What is cold in serving, weights and the KV cache, rotates through at least as much memory.
  int64_t rotation_bytes;
  // So do activations of runs that touch more than this; others are in a cache, as in serving.
  int64_t cached_bytes;

  // Copies for runs of so many bytes that are to be cold.
  int64_t ColdCopies(double bytes) const;
  int64_t ActivationCopies(double bytes) const;
  // Of a run's activations, those that come from memory.
  double ColdBytes(double bytes) const {
    return bytes <= static_cast<double>(cached_bytes) ? 0.0 : bytes;
  }
};

// Cases that share what lies in memory, so they are made together.
struct DeviceCaseGroup {
  std::vector<std::string> shapes;  // of each case
  enum class Comparator : uint8_t { kNone, kCublas } comparator = Comparator::kNone;
  // In the order of `shapes`; they own what they need but the bench's backend and cuBLAS.
  std::function<StatusOr<std::vector<DeviceCase>>(const DeviceBench& bench)> make{};
};

}  // namespace phalanx
