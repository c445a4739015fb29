#!/usr/bin/env bash
# Checks and measures this build on this host's GPUs, and writes a report: is everything right, how near is every kernel
# and the whole service to what the machine can do, where is the time lost. Needs a driver; no network, no packages,
# Python only for the comparison with transformers, which is skipped without.
#
#   launch/gpu-check.sh [--device cuda|cuda-emulated] [--output FOLDER] [--time-limit SECONDS] [STAGE...]
#   launch/gpu-check.sh --compare OLD [NEW]     what became faster or slower; NEW: the newest run
#
# Stages, in this order: facts host limits kernels models determinism ops decode prefill load scaling hf profile
# sanitizer. All unless some are named. Results go to bench/results/GPU-DATE (report.md, report.html, report.json, and
# what was printed in raw/). A run that was interrupted or ran out of time is taken up where it stopped; named stages run
# again. What cannot run here is skipped with the reason, and the rest goes on. --time-limit: 540 seconds, then it ends.
# cuda-emulated executes the kernels on the CPU at toy sizes: it tests this script, its times mean nothing.
#
# Exit code: 0 all that ran passed, 1 something failed, 2 wrong arguments, 130 interrupted.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
all_stages=(facts host limits kernels models determinism ops decode prefill load scaling hf profile sanitizer)

die() {
  echo "gpu-check.sh: $1" >&2
  exit 2
}

device=cuda
output=
time_limit=540
stages=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) sed -n '2,18s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --device | --output | --time-limit) [ $# -gt 1 ] || die "$1: needs a value" ;;&
    --device)
      [[ $2 =~ ^cuda(-emulated)?$ ]] || die "--device: is '$2', allowed: cuda, cuda-emulated"
      device=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    --time-limit)
      [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || die "--time-limit: is '$2', allowed: seconds from 1 to 999999"
      time_limit=$2; shift 2 ;;
    --compare) break ;;
    *)
      [[ " ${all_stages[*]} " == *" $1 "* ]] || die "stage: is '$1', allowed: ${all_stages[*]}"
      stages+=("$1"); shift ;;
  esac
done

# Programs of a bundle, else of a build.
bin=${PHALANX_BIN_DIR:-}
if [ -z "$bin" ]; then
  bin=$root/build/release/bin
  [ "$device" = cuda ] && [ -x "$root/build/cuda/bin/worker" ] && bin=$root/build/cuda/bin
  [ -x "$root/bin/worker" ] && bin=$root/bin
fi
tests=$bin
[ -x "$bin/device_kernels_test" ] || tests=$bin/../tests
for program in bin/worker bin/bench_limits bin/gpu_report tests/device_kernels_test; do
  folder=${program%/*}
  [ -x "${!folder}/${program#*/}" ] ||
    die "${!folder}/${program#*/} is missing; build all with launch/build.sh cuda, or set PHALANX_BIN_DIR"
done
mpirun=$bin/mpirun
[ -x "$mpirun" ] || mpirun=mpirun
export PHALANX_BIN_DIR=$bin PHALANX_MODEL_TOOL=$tests/model_tool

newest_run() { ls -td "$root"/bench/results/*/raw 2>/dev/null | head -n 1 | sed 's|/raw$||'; }
if [ "${1:-}" = --compare ]; then
  [ $# -ge 2 ] && [ $# -le 3 ] || die "--compare: needs OLD and perhaps NEW"
  new=${3:-$(newest_run)}
  [ -n "$new" ] || die "--compare: there is no run in $root/bench/results"
  exec "$bin/gpu_report" --compare "$2" "$new"
fi

. "$root/launch/gpu-check/run.sh"
. "$root/launch/gpu-check/stages.sh"

[ -n "$output" ] || output=$(run_folder)
mkdir -p "$output/raw" 2>/dev/null || die "--output: is '$output', allowed: a folder that can be written"
output=$(cd "$output" && pwd)
raw=$output/raw
named=${#stages[@]}
[ "$named" -gt 0 ] || stages=("${all_stages[@]}")
# A run that has ended is not taken up but made again.
[ "$named" -gt 0 ] || [ ! -e "$raw/complete" ] || rm -f "$raw"/*.stage
rm -f "$raw/complete"
trap 'interrupt' INT TERM HUP

echo "gpu-check: $device, programs of $bin, results in $output"
no_gpu=
if [ "$device" = cuda ]; then
  no_gpu=$(timeout 60 "$tests/device_kernels_test" --device=cuda "--data=$root" --gtest_list_tests 2>&1 >/dev/null)
  case $? in
    0) no_gpu= ;;
    124) no_gpu="the driver does not answer within 60 s" ;;
    *) no_gpu=${no_gpu:-the driver ends whoever asks it} ;;
  esac
fi
for stage in "${stages[@]}"; do run_stage "$stage"; done
[ $unfinished = yes ] || touch "$raw/complete"
write_report
