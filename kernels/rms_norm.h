// Root-mean-square normalization (Zhang & Sennrich 2019), and the same after a residual add.
//
//   RmsNorm:     y[t] = x[t] / sqrt(mean(x[t]^2) + eps) * w
//   AddRmsNorm:  residual[t] += delta[t];  y[t] = RmsNorm(residual[t])
//
// x, residual, delta, y: [num_tokens, hidden_size] f32; w: [hidden_size] f32. y may alias x or
// delta, not residual.
#pragma once
