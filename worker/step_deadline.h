// How long a step may take before the group counts as stuck.
#pragma once

#include <chrono>

#include "model/config.h"
#include "worker/step_plan.h"

namespace phalanx {

struct StepDeadline {
  // Granted to every step, and between steps; 0: no limit at all.
  std::chrono::milliseconds base{0};
  // At the rate that the group is assumed to compute at.
  double seconds_per_row = 0;
  double seconds_per_position = 0;  // of attention: a row and one position that it looks at

  // base + 20 * the time that the plan should take: slow machines are slow, not stuck.
  std::chrono::milliseconds For(const StepPlan& plan) const;
};

// FLOP of one row through all layers without attention, and of one row's attention to one position.
double RowFlop(const Qwen2Config& config);
double PositionFlop(const Qwen2Config& config);

// FLOP per second of one core with 60 % of a common core's f32 FMA peak: AVX-512 60, AVX2 36,
// otherwise 6 GFLOP/s; with 60 % of what f32 times bf16 reaches in AMX tiles: 200. Weights of other
// dtypes take three times as long there as this says. An emulated device: 10 MFLOP/s.
double AssumedCoreRate(std::string_view isa);

// FLOP per second of one rank: a GPU (device "cuda") 20 TFLOP/s, a few percent of what those from
// sm_80 on reach in long steps, whatever the host's CPUs are; else that of its threads' cores.
double AssumedRankRate(std::string_view device, std::string_view isa, int threads);

}  // namespace phalanx
