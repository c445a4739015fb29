// Every op in double precision, written as plainly as its contract, with the tolerance that float32
// arithmetic deserves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention.h"
#include "tests/testing/compare.h"

namespace phalanx::testing {

// x: [rows, in], w: [out, in], bias: empty or [out].
Expected LinearOracle(std::span<const float> x, std::span<const float> w,
                      std::span<const float> bias, int64_t rows, int64_t in, int64_t out);

// x: [rows, in], w: [2 intermediate, in].
Expected GateUpSwigluOracle(std::span<const float> x, std::span<const float> w, int64_t rows,
                            int64_t in, int64_t intermediate);

// x: [rows, cols], weight: [cols].
Expected RmsNormOracle(std::span<const float> x, std::span<const float> weight, float eps,
                       int64_t rows, int64_t cols);

// One head's vector x [head_dim] at a position with these cos and sin [head_dim / 2].
Expected RotateOracle(std::span<const float> x, std::span<const float> cos,
                      std::span<const float> sin);

// One query row: q [head_dim] over keys and values [num_tokens, head_dim].
Expected AttentionOracle(std::span<const float> q, std::span<const float> keys,
                         std::span<const float> values, float scale);

// The same where keys, values and the result are of a 16-bit type, `stored`, and so are the
// softmax's weights in the sum: with u its unit roundoff, those add u sum |w v| and u |result| to
// float32's errors. float16 has no full precision below 2^-14, so a weight, at most 1 beside a sum
// of at least 1, is 2^-25 off at least, and so is the result.
Expected StoredAttention(std::span<const float> q, std::span<const float> keys,
                         std::vector<float> values, float scale, DType stored);

// parts: [num_parts, count].
Expected SumPartsOracle(std::span<const float> parts, int num_parts, int64_t count);

}  // namespace phalanx::testing
