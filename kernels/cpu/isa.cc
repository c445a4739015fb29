#include "kernels/cpu/isa.h"

#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/targets.h>

#include "kernels/cpu/tiles.h"

namespace phalanx {

std::string_view Name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kAmx:
      return "amx";
    case CpuIsa::kAvx512:
      return "avx512";
    case CpuIsa::kAvx2:
      return "avx2";
    case CpuIsa::kPortable:
      return "portable";
  }
  return "?";
}

std::vector<CpuIsa> AvailableIsas() {
  const int64_t usable = hwy::SupportedTargets() & HWY_TARGETS;
  std::vector<CpuIsa> isas;
  if ((usable & HWY_AVX3) != 0) {
    if (FindTileFunctions() != nullptr) isas.push_back(CpuIsa::kAmx);
    isas.push_back(CpuIsa::kAvx512);
  }
  if ((usable & HWY_AVX2) != 0) isas.push_back(CpuIsa::kAvx2);
  // A build whose baseline is one of the above has no portable copy.
  if ((HWY_STATIC_TARGET & (HWY_AVX3 | HWY_AVX2)) == 0) isas.push_back(CpuIsa::kPortable);
  return isas;
}

}  // namespace phalanx
