#!/usr/bin/env bash
# Runs nvcc, as its launcher, and keeps what ptxas says of each kernel in OBJECT.ptxas for ptxas_report.sh.
set -uo pipefail
object=
for ((i = 1; i <= $#; i++)); do
  [ "${!i}" = -o ] && next=$((i + 1)) && object=${!next}
done
"$@" 2>"$object.ptxas"
status=$?
# What is left are warnings and errors.
grep -vE '^ptxas info|^ +[0-9]+ bytes stack frame' "$object.ptxas" >&2
exit $status
