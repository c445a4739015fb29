// The machine's limits, measured in the process and the affinity mask that the benchmark runs in.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/cpu/isa.h"
#include "kernels/cpu/mapped_memory.h"
#include "kernels/cpu/thread_pool.h"

namespace phalanx {

// Reads a buffer far larger than the caches, every thread its own contiguous part, in huge pages as
// packed weights lie. A probe in 4 KiB pages reads a quarter less in a virtual machine, so compare
// only with probes that use the same page size.
class ReadBandwidthProbe {
 public:
  explicit ReadBandwidthProbe(int num_threads, size_t bytes = size_t{1} << 30);

  // One pass over the buffer: GB/s (1e9). Short (some tens of milliseconds), so that passes can be
  // interleaved with what is measured against them.
  double Measure();

 private:
  ThreadPool threads_;
  MappedMemory memory_;
};

// Best of ten passes, GB/s.
double MeasureReadBandwidth(int num_threads);

// Float32 fused multiply-adds on independent registers, counted as two operations each: GFLOP/s,
// best of five. On the best instruction set of the machine, or on `isa`.
double MeasureFmaPeak(int num_threads);
double MeasureFmaPeak(int num_threads, CpuIsa isa);

// Products of bf16 tiles that lie in the first-level cache, read there as a kernel must: GFLOP/s of
// the tiles, best of five; 0 where the machine has none. A kernel that splits f32 into three parts
// can reach a third of it.
double MeasureTilePeak(int num_threads);

}  // namespace phalanx
