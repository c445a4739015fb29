#!/usr/bin/env bash
# Configures a preset and builds targets of it: launch/build.sh PRESET [TARGET...]  (no target: everything).
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
options=()
# Checkouts in different folders share what the compiler cache holds.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
# What it asks for before it keeps precompiled headers, and what is compiled with them.
export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
command -v ccache >/dev/null &&
  options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
# Configuring prints dozens of lines that matter only when it fails.
if ! log=$(cmake --preset "$preset" "${options[@]}" ${PHALANX_CMAKE_OPTIONS:-} 2>&1); then
  echo "$log" >&2
  exit 1
fi
build=(cmake --build --preset "$preset")
[ $# -gt 0 ] && build+=(--target "$@")
# A line for each of hundreds of files is for somebody who watches.
[ -n "${CI:-}" ] && build+=(-- --quiet)
"${build[@]}"
