#!/usr/bin/env bash
# Builds the kernels of the cuda preset (sm_80 and sm_90a, and PTX for what comes later; warnings are errors) and prints
# what ptxas said of each: registers, spilled bytes, shared memory that it has whatever a launch asks for. Spills are an
# error. No GPU needed.
#
#   kernels/cuda/ptxas_report.sh [FILE.cu...]   (no file: all)
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v nvcc >/dev/null || { echo "ptxas_report.sh: nvcc is not on PATH; allowed: CUDA 13" >&2; exit 1; }
launch/build.sh cuda phalanx_cuda_gpu phalanx_limits_gpu >&2
folders=(build/cuda/kernels/cuda/gpu/CMakeFiles/phalanx_cuda_gpu.dir/__ build/cuda/bench/gpu/CMakeFiles/phalanx_limits_gpu.dir/__)
reports=()
for file in "$@"; do reports+=("${folders[@]/%//$(basename "$file").o.ptxas}"); done
[ ${#reports[@]} -gt 0 ] || reports=("${folders[0]}"/*.ptxas "${folders[1]}"/*.ptxas)
cat $(ls "${reports[@]}" 2>/dev/null) | c++filt | awk '
  /Compiling entry function/ {
    split($0, quoted, "\x27"); name = quoted[2]; architecture = quoted[4]
    gsub(/phalanx::cuda::device::|\(anonymous namespace\)::/, "", name); sub(/\([^()]*\)$/, "", name); sub(/^void /, "", name)
  }
  /bytes stack frame/ { spills = $5 + $9 }
  /Used [0-9]+ registers/ {
    shared = match($0, /[0-9]+ bytes smem/) ? substr($0, RSTART, RLENGTH) + 0 : 0
    printf "%-8s %4d registers %6d bytes spilled %6d bytes static shared  %s\n", architecture, $5, spills, shared, name
    if (spills > 0) bad = 1
    seen++
  }
  END {
    if (!seen) { print "ptxas said nothing of any kernel" > "/dev/stderr"; exit 1 }
    if (bad) { print "kernels spill registers" > "/dev/stderr"; exit 1 }
  }'
