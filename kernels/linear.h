// y = x W^T + b
//
// x: [num_tokens, in_features] f32; W: PackedWeight [out_features, in_features] bf16, f16 or f32,
// kLinear; b: empty or [out_features] f32; y: [num_tokens, out_features] f32, may not alias x.
// out_features may be 0 (nothing written) and in_features may be 0 (y = b or 0).
// On CPUs each output element is one chain of fused multiply-adds over in_features in ascending
// order, starting from 0, the bias added last: the same bits for any number of rows and threads and
// for every instruction set.
// Except bf16 weights in AMX tiles: x is the sum of three bf16 numbers (its leading 8 bits, the
// next 8, the rest), each of which has a sum in the order that kernels/cpu/tiles.h states; y =
// leading + (next + rest) + b. No less exact (the products are exact and the sums of 32 begin
// anew), the same bits for any number of rows and threads, but not those of the other instruction
// sets. Numbers below 2^-126 count as zero, and an infinite x gives NaN.
//
// Quantized weights (kernels/packed_weight.h), on CPUs: x becomes integers X = nearest(x * 2^s),
// 2^s the power of two that brings the row's largest magnitude into [2^21, 2^22) (with activations
// of kBF16 [2^13, 2^14)), but at most 2^122 (2^114). The digits of X, in base 256 and -128..127
// each, are multiplied by the weight's integers and added up exactly for each group; y = 2^-s *
// (chain of fused multiply-adds over groups of (digits' sums in f32, by fused multiply-adds of 256)
// * scale)
// + b. The same bits for any number of rows and threads and for every instruction set. A row with a
// NaN or an infinity gives NaN.
#pragma once
