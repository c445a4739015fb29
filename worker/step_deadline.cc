#include "worker/step_deadline.h"

#include <cmath>

namespace phalanx {

double RowFlop(const Qwen2Config& config) {
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto heads = static_cast<double>(2 * config.num_heads + 2 * config.num_kv_heads);
  const double attention = hidden * heads * static_cast<double>(config.head_dim);
  const double mlp = 3.0 * hidden * static_cast<double>(config.intermediate_size);
  return 2.0 * static_cast<double>(config.num_layers) * (attention + mlp);
}

double PositionFlop(const Qwen2Config& config) {
  return 4.0 * static_cast<double>(config.num_layers * config.num_heads * config.head_dim);
}

double AssumedCoreRate(std::string_view isa) {
  if (isa == "emulated") return 10e6;
  if (isa == "amx") return 200e9;
  return isa == "avx512" ? 60e9 : isa == "avx2" ? 36e9 : 6e9;
}

double AssumedRankRate(std::string_view device, std::string_view isa, int threads) {
  return device == "cuda" ? 20e12 : AssumedCoreRate(isa) * threads;
}

std::chrono::milliseconds StepDeadline::For(const StepPlan& plan) const {
  constexpr double kSlowest = 20.0;
  if (base.count() == 0) return base;
  double seconds = 0;
  for (const SequenceWork& work : plan.work) {
    const auto rows = static_cast<double>(work.tokens.size());
    const double end = work.start_position + rows;
    seconds += rows * (seconds_per_row + end * seconds_per_position);
  }
  return base + std::chrono::milliseconds(std::llround(std::ceil(kSlowest * seconds * 1e3)));
}

}  // namespace phalanx
