// out[i] = ((parts[0][i] + parts[1][i]) + parts[2][i]) + ..., in f32, each sum rounded once.
//
// parts: [num_parts, count], num_parts >= 1; out: [count], may not alias parts. What ranks have
// gathered of each other's partial results becomes their sum in rank order, the same bits as
// parallel/ordered_sum.h gives. Not an op of CPUs, whose communicators sum while they receive.
#pragma once
