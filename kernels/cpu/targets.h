// Which Highway targets the kernels are compiled for. Include it before any header of Highway.
//
// A kernel file compiles its body once per target (hwy/foreach_target.h) and picks among the copies
// with PHALANX_TARGET_FUNCTION. The choice is made per backend, not per process as Highway's own
// dispatch does, so that one process can compare instruction sets.
#pragma once

// Left: AVX3 (AVX-512), AVX2 and the baseline. The ones between would cost compile time and a name.
#define HWY_DISABLED_TARGETS                                                              \
  (HWY_AVX3_DL | HWY_SSE4 | HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | \
   HWY_RVV | HWY_PPC8)

#include <hwy/detect_targets.h>

#include "kernels/cpu/isa.h"

#if HWY_TARGETS & HWY_AVX3
#define PHALANX_AVX512_FUNCTION(function) (&N_AVX3::function)
#else
#define PHALANX_AVX512_FUNCTION(function) nullptr
#endif

#if HWY_TARGETS & HWY_AVX2
#define PHALANX_AVX2_FUNCTION(function) (&N_AVX2::function)
#else
#define PHALANX_AVX2_FUNCTION(function) nullptr
#endif

// The address of `function` as compiled for `isa`, which must be one of AvailableIsas(). To be used
// under HWY_ONCE, in the namespace that encloses the targets'.
#define PHALANX_TARGET_FUNCTION(isa, function)                                           \
  ((isa) == CpuIsa::kAmx || (isa) == CpuIsa::kAvx512 ? PHALANX_AVX512_FUNCTION(function) \
   : (isa) == CpuIsa::kAvx2                          ? PHALANX_AVX2_FUNCTION(function)   \
                                                     : &HWY_STATIC_DISPATCH(function))
