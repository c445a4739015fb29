// y = x W^T + b
//
// x: [num_tokens, in_features] f32; W: PackedWeight [out_features, in_features] bf16, f16 or f32,
// kLinear; b: empty or [out_features] f32; y: [num_tokens, out_features] f32, may not alias x.
// out_features may be 0 (nothing written) and in_features may be 0 (y = b or 0).
// On CPUs each output element is one chain of fused multiply-adds over in_features in ascending
// order, starting from 0, the bias added last: the same bits for any number of rows and threads and
// for every instruction set.
#pragma once
