// Vector passes over one row of logits. Throughout, +inf and NaN count as -inf.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/candidates.h"
#include "kernels/cpu/isa.h"

namespace phalanx {

// Columns whose maximum is remembered, to skip most of the row when candidates are collected.
inline constexpr int64_t kCandidateGroup = 64;

struct LogitsRow {
  const float* logits = nullptr;  // [num_columns]
  int64_t num_columns = 0;
};

struct RowSummary {
  float max = 0.0F;
  int64_t num_nan = 0;  // +inf counted too
};

struct CandidateKernels {
  // Also writes the maximum of each group, [ceil(num_columns / kCandidateGroup)].
  RowSummary (*summarize)(const LogitsRow& row, float* group_max) = nullptr;
  // sum exp((l - max) * inv_temperature); max is finite.
  double (*sum_exp)(const LogitsRow& row, float max, float inv_temperature) = nullptr;
  // Appends every (first_id + column, logit) with -inf < logit >= threshold, in column order.
  void (*collect)(const LogitsRow& row, int64_t first_id, const float* group_max, float threshold,
                  std::vector<Candidate>& out) = nullptr;
  // Fills in gumbel and gumbel_score.
  void (*gumbel)(const LogitsRow& row, int64_t first_id, const CandidateTask& task,
                 CandidateResult& result) = nullptr;
};
CandidateKernels GetCandidateKernels(CpuIsa isa);

}  // namespace phalanx
