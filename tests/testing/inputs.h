// Seeded inputs of tests and benchmarks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "kernels/backend.h"

namespace phalanx::testing {

using Generator = std::mt19937_64;

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Normally distributed, mean 0.
std::vector<float> RandomFloats(int64_t n, Generator& generator, float deviation = 1.0F);

// n NaNs: outputs start as these, so that an element nobody wrote is found.
std::vector<float> NaNs(int64_t n);

// A view of values as [rows, cols] f32.
TensorView ViewOf(std::vector<float>& values, int64_t rows, int64_t cols);

// A weight matrix as stored and as the numbers that it stands for.
struct RandomWeight {
  int64_t out_features = 0;
  int64_t in_features = 0;
  DType dtype = DType::kF32;
  std::vector<std::byte> stored{};  // [out_features, in_features] of dtype
  std::vector<float> values{};      // the same, exact

  TensorView View(int64_t first_row, int64_t num_rows) const;
};
// Deviation 1 / sqrt(in_features). f16 contains subnormals.
RandomWeight MakeWeight(int64_t out_features, int64_t in_features, DType dtype,
                        Generator& generator);

// Packed by `backend` in one call.
std::unique_ptr<PackedWeight> Pack(Backend& backend, const RandomWeight& weight,
                                   WeightLayout layout = WeightLayout::kLinear);

// The backend of an instruction set; aborts where that is not available.
std::unique_ptr<Backend> MakeBackend(const std::string& isa, int num_threads);

// Of a backend that only samples: `num_rows` rows of logits and as many slots.
StepLimits SamplingLimits(int64_t num_rows, int64_t num_cols);

}  // namespace phalanx::testing
