#!/usr/bin/env bash
# Runs what a bundle has, where nothing else is: in_bare_root.sh BUNDLE. Needs a /proc that shows its own processes alone.
set -uo pipefail
bundle=$1
work=$(mktemp -d)
failed=0

# expect WHAT EXIT_CODE PATTERN COMMAND...: the command's exit code, and what its output matches.
expect() {
  local what=$1 code=$2 pattern=$3 output rc
  shift 3
  output=$(timeout 120 "$@" 2>&1)
  rc=$?
  if [ $rc -eq "$code" ] && [[ $output =~ $pattern ]]; then
    echo "ok: $what"
    return
  fi
  echo "FAILED: $what: exit code $rc, expected $code, and '$pattern' in:" >&2
  printf '%s\n' "$output" | tail -n 20 >&2
  failed=1
}

processes() { cat /proc/[0-9]*/comm 2>/dev/null | grep -cE '^(worker|coordinator|mpirun|serve\.sh)$'; }

for program in "$bundle"/bin/*; do
  case $program in
    *.so | */device_*_test | */mpirun) ;;
    */model_tool) expect "model_tool" 2 "^usage: " "$program" ;;
    *) expect "${program##*/} --help" 0 "Usage|usage|OPTIONS" "$program" --help ;;
  esac
done
for test in "$bundle"/bin/device_*_test; do
  expect "${test##*/}" 0 "[A-Za-z]+\.\s" "$test" --device=cuda-emulated --data="$bundle" --gtest_list_tests
done
expect "worker --version" 0 "^phalanx worker [0-9]" "$bundle/bin/worker" --version
expect "a GPU that is not there" 2 "--device: is cuda, allowed: cpu|--device: cuda not in \{cpu" \
  "$bundle/bin/worker" --device cuda --model "$bundle/launch/demo/model" --engine "$work/engine.sock"

# Any folder, any way to the program.
ln -s "$bundle/bin/mpirun" "$work/link-to-mpirun"
cd "$work" || exit 1
for mpirun in "$bundle/bin/mpirun" "$work/link-to-mpirun"; do
  expect "${mpirun##*/} in another folder" 0 "[0-9.]+ +[0-9.]+ +[0-9.]+" \
    "$mpirun" --allow-run-as-root --oversubscribe -np 2 "$bundle/bin/bench_allreduce"
done
expect "the words of mpirun" 1 "binding policy is not recognized" "$bundle/bin/mpirun" --allow-run-as-root --bind-to bogus true
expect "gpu-check.sh" 0 "report: $work/run/report" \
  "$bundle/launch/gpu-check.sh" --device cuda-emulated --output "$work/run" facts host limits kernels

"$bundle/launch/serve.sh" "$bundle/launch/demo/model" -np 2 --grpc-port 0 --port 0 --log-level warning \
  >"$work/ready" 2>"$work/log" </dev/null &
server=$!
for _ in {1..600}; do
  [ -s "$work/ready" ] || ! kill -0 $server 2>/dev/null || { sleep 0.1; continue; }
  break
done
address=$(sed -n 's/^ready grpc=\([^ ]*\) .*/\1/p' "$work/ready")
expect "an answer" 0 "17 \+ 25 = 42" \
  "$bundle/bin/phalanx" chat --server "${address:-nowhere}" --message "What is 17 + 25?" --temperature 0
kill -TERM $server
wait $server
rc=$?
[ $rc -eq 0 ] || { echo "FAILED: serve.sh ended with $rc:" >&2; cat "$work/log" >&2; failed=1; }
[ "$(processes)" -eq 0 ] || { echo "FAILED: $(processes) processes are left" >&2; failed=1; }
grep -q "no network namespace" "$work/log" && echo "seen: $(grep -m 1 "no network namespace" "$work/log")"
exit $failed
