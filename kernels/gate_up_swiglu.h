// Gate and up projections with SwiGLU as epilogue (Shazeer 2020, "GLU variants improve
// transformer").
//
//   y[t, i] = silu(x[t] . G[i]) * (x[t] . U[i]),   silu(z) = z / (1 + exp(-z))
//
// x: [num_tokens, hidden_size] f32; weight: PackedWeight [2 * intermediate_local, hidden_size],
// kGateUp; y: [num_tokens, intermediate_local] f32, may not alias x. intermediate_local may be 0.
#pragma once
