// Launchers of kernels/adjust_logits.h. Each touches only what changes: a few columns of a row, or
// all where a row has a mask. Pointers are global memory.
#pragma once

#include <cstdint>

#include "kernels/adjust_logits.h"
#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// A token of a slot as it is now.
struct TokenUpdate {
  TokenAdjustment* to = nullptr;
  TokenAdjustment token;
};
struct UpdateTokensParams {
  int64_t count = 0;
  const TokenUpdate* updates = nullptr;  // [count], to different places
};
void LaunchUpdateTokens(Stream& stream, const UpdateTokensParams& params);

struct AdjustedRow {
  float* logits = nullptr;                  // [cols]
  float* kept = nullptr;                    // [cols], or null
  const TokenAdjustment* tokens = nullptr;  // [num_tokens]
  const uint32_t* mask = nullptr;           // the words of the columns, or null
  const int32_t* bans = nullptr;            // [num_bans]
  int32_t num_tokens = 0;
  int32_t num_bans = 0;
  float repetition_penalty = 1.0F;
  float frequency_penalty = 0.0F;
  float presence_penalty = 0.0F;
};
struct AdjustParams {
  int64_t cols = 0;
  int64_t first_id = 0;
  int32_t num_rows = 0;
  const AdjustedRow* rows = nullptr;  // [num_rows]
  // The largest of the rows; 0: no row has any.
  int32_t max_tokens = 0;
  int32_t max_bans = 0;
};
// To be launched in this order, as far as a row asks for it.
void LaunchKeepRows(Stream& stream, const AdjustParams& params);
void LaunchAdjustTokens(Stream& stream, const AdjustParams& params);
void LaunchMaskTokens(Stream& stream, const AdjustParams& params);
void LaunchBanTokens(Stream& stream, const AdjustParams& params);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
