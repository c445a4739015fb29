#!/usr/bin/env bash
# Builds and runs all tests; ends with a line "N passed, N failed". Arguments go to ctest (e.g. -R sampler, -L unit).
set -euo pipefail
cd "$(dirname "$0")/.."
launch/setup.sh --test
launch/build.sh release
report=$PWD/build/release/ctest.xml
rm -f "$report"
rc=0
ctest --preset release -j "$(nproc)" --output-on-failure --test-output-size-passed 10000000 --test-output-size-failed 10000000 --output-junit "$report" "$@" || rc=$?
python3 tests/testing/count_results.py "$report"
exit "$rc"
