// One thread an element; the second dimension of a grid is the row.
#include "kernels/cuda/adjust_logits.h"
#include "kernels/cuda/logit_key.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;
constexpr int kColumnsPerThread = 4;
constexpr int kBlockColumns = kColumnsPerThread * kThreads;

PHALANX_DEVICE int64_t ElementIndex() { return int64_t{BlockX()} * kThreads + ThreadIndex(); }

// What `adjusted` becomes; a logit that the model itself made infinite or NaN stays so.
PHALANX_DEVICE float Bounded(float logit, float adjusted) {
  if (!(logit > -kFloatInfinity && logit < kFloatInfinity)) return logit;
  if (adjusted < -kLargestAdjusted) return -kLargestAdjusted;
  return adjusted > kLargestAdjusted ? kLargestAdjusted : adjusted;
}

PHALANX_KERNEL(kThreads) UpdateTokensKernel(const UpdateTokensParams params) {
  const int64_t i = ElementIndex();
  if (i >= params.count) return;
  const TokenUpdate& update = params.updates[i];
  TokenAdjustment& to = *update.to;
  to.id = update.token.id;
  to.bias = update.token.bias;
  to.count = update.token.count;
  to.has_bias = update.token.has_bias;
  to.seen = update.token.seen;
}

// 8 bytes a column.
PHALANX_KERNEL(kThreads) KeepRowsKernel(const AdjustParams params) {
  const AdjustedRow& row = params.rows[BlockY()];
  float* const kept = row.kept;
  if (kept == nullptr) return;
  const float* const logits = row.logits;
  const int64_t first = int64_t{BlockX()} * kBlockColumns + ThreadIndex();
  PHALANX_UNROLL
  for (int i = 0; i < kColumnsPerThread; ++i) {
    const int64_t column = first + i * kThreads;
    if (column < params.cols) kept[column] = logits[column];
  }
}

// 16 bytes a token, and two accesses of 32 bytes each to its column.
PHALANX_KERNEL(kThreads) AdjustTokensKernel(const AdjustParams params) {
  const AdjustedRow& row = params.rows[BlockY()];
  const int64_t i = ElementIndex();
  if (i >= row.num_tokens) return;
  const TokenAdjustment& token = row.tokens[i];
  const int64_t column = token.id - params.first_id;
  if (column < 0 || column >= params.cols) return;
  float logit = row.logits[column];
  if (token.has_bias == TokenAdjustment::Bias::kAdded) logit = Bounded(logit, logit + token.bias);
  const float penalty = row.repetition_penalty;
  if (token.seen == TokenAdjustment::Seen::kYes && penalty != 1.0F) {
    logit = Bounded(logit, logit < 0.0F ? logit * penalty : logit / penalty);
  }
  if (token.count > 0) {
    const float frequency = row.frequency_penalty * static_cast<float>(token.count);
    logit = Bounded(logit, logit - frequency);
    logit = Bounded(logit, logit - row.presence_penalty);
  }
  row.logits[column] = logit;
}

// A bit a column is read, and 4 bytes written where it is clear.
PHALANX_KERNEL(kThreads) MaskTokensKernel(const AdjustParams params) {
  const AdjustedRow& row = params.rows[BlockY()];
  const uint32_t* const mask = row.mask;
  if (mask == nullptr) return;
  const auto first_bit = static_cast<int32_t>(params.first_id % 32);
  const int64_t first = int64_t{BlockX()} * kBlockColumns + ThreadIndex();
  PHALANX_UNROLL
  for (int i = 0; i < kColumnsPerThread; ++i) {
    const int64_t column = first + i * kThreads;
    if (column >= params.cols) continue;
    const int64_t bit = column + first_bit;
    if ((mask[bit / 32] >> (bit % 32) & 1) == 0) row.logits[column] = -kFloatInfinity;
  }
}

PHALANX_KERNEL(kThreads) BanTokensKernel(const AdjustParams params) {
  const AdjustedRow& row = params.rows[BlockY()];
  const int64_t i = ElementIndex();
  if (i >= row.num_bans) return;
  const int64_t column = row.bans[i] - params.first_id;
  if (column >= 0 && column < params.cols) row.logits[column] = -kFloatInfinity;
}

// ------------------------------------------------------------------------------------------------

int Blocks(int64_t count, int64_t per_block) {
  return static_cast<int>((count + per_block - 1) / per_block);
}

}  // namespace

void LaunchUpdateTokens(Stream& stream, const UpdateTokensParams& params) {
  if (params.count == 0) return;
  Launch<UpdateTokensKernel>(stream, "update_tokens",
                             {.grid_x = Blocks(params.count, kThreads), .threads = kThreads},
                             params);
}

void LaunchKeepRows(Stream& stream, const AdjustParams& params) {
  if (params.num_rows == 0 || params.cols == 0) return;
  Launch<KeepRowsKernel>(stream, "keep_rows",
                         {.grid_x = Blocks(params.cols, kBlockColumns),
                          .grid_y = params.num_rows,
                          .threads = kThreads},
                         params);
}

void LaunchAdjustTokens(Stream& stream, const AdjustParams& params) {
  if (params.num_rows == 0 || params.max_tokens == 0) return;
  Launch<AdjustTokensKernel>(stream, "adjust_tokens",
                             {.grid_x = Blocks(params.max_tokens, kThreads),
                              .grid_y = params.num_rows,
                              .threads = kThreads},
                             params);
}

void LaunchMaskTokens(Stream& stream, const AdjustParams& params) {
  if (params.num_rows == 0 || params.cols == 0) return;
  Launch<MaskTokensKernel>(stream, "mask_tokens",
                           {.grid_x = Blocks(params.cols, kBlockColumns),
                            .grid_y = params.num_rows,
                            .threads = kThreads},
                           params);
}

void LaunchBanTokens(Stream& stream, const AdjustParams& params) {
  if (params.num_rows == 0 || params.max_bans == 0) return;
  Launch<BanTokensKernel>(
      stream, "ban_tokens",
      {.grid_x = Blocks(params.max_bans, kThreads), .grid_y = params.num_rows, .threads = kThreads},
      params);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
