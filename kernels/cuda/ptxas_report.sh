#!/usr/bin/env bash
# Compiles the kernels for the GPUs that are served (sm_80 and sm_90a, and PTX for what comes later), warnings as
# errors, and prints what ptxas says of each: registers, spilled bytes, shared memory. Spills are an error. No GPU needed.
#
#   kernels/cuda/ptxas_report.sh [FILE.cu...]   (no file: all of this folder)
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v nvcc >/dev/null || { echo "ptxas_report.sh: nvcc is not on PATH; allowed: CUDA 13" >&2; exit 1; }
files=("$@")
[ ${#files[@]} -gt 0 ] || files=(kernels/cuda/*.cu)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# 2810: nvcc takes the assignment of a [[nodiscard]] class for an ignored value.
# fmt takes nvcc for a compiler without constexpr.
options=(-std=c++20 -I . -DFMT_USE_CONSTEXPR=1 --fmad=false -Xptxas -v -Werror all-warnings -diag-suppress 2810 -x cu -c -o /dev/null
  -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a -gencode arch=compute_90,code=compute_90)
for file in "${files[@]}"; do
  nvcc "${options[@]}" "$file" >>"$log" 2>&1 || { cat "$log"; echo "$file: does not compile" >&2; exit 1; }
done
c++filt <"$log" | awk '
  /Compiling entry function/ {
    split($0, quoted, "\x27"); name = quoted[2]; architecture = quoted[4]
    sub(/\(anonymous namespace\)::/, "", name); sub(/phalanx::cuda::device::/, "", name)
    gsub(/phalanx::cuda::device::|\(anonymous namespace\)::/, "", name); sub(/\(.*/, "", name); sub(/^void /, "", name)
  }
  /bytes stack frame/ { spills = $5 + $9 }
  /Used [0-9]+ registers/ {
    printf "%-8s %4d registers %6d bytes spilled  %s\n", architecture, $5, spills, name
    if (spills > 0) bad = 1
  }
  END { if (bad) { print "kernels spill registers" > "/dev/stderr"; exit 1 } }'
