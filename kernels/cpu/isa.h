// The instruction sets that the CPU kernels are compiled for.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace phalanx {

enum class CpuIsa : uint8_t {
  kAmx,       // bf16 and quantized weights in AMX tiles, all else as kAvx512
  kAvx512,    // AVX-512 F, VL, DQ, BW
  kAvx2,      // AVX2 with FMA and F16C
  kPortable,  // what the compiler may assume of every machine it builds for; NEON on 64-bit ARM
};

// The name of --cpu-isa: "amx", "avx512", "avx2", "portable".
std::string_view Name(CpuIsa isa);

// What this build has and this machine runs, best first.
std::vector<CpuIsa> AvailableIsas();

}  // namespace phalanx
