#!/usr/bin/env bash
# Makes an archive that serves, tests and measures on a host that has glibc 2.36 or later and a driver, and nothing else:
# no compiler, no packages, no network. launch/bundle/README.md is its front page.
#
#   launch/bundle.sh           build/bundle/phalanx-VERSION-linux-x86_64.tar.xz, with the CUDA kernels; needs nvcc
#   launch/bundle.sh release   ...-cpu.tar.xz, for hosts without GPUs
#   launch/bundle.sh nccl      build/bundle/phalanx-nccl-VERSION-linux-x86_64.tar.xz, which several GPUs need unless the
#                              host has NCCL; unpacked over the first
#
# Beside each lie its SHA-256 (.sha256) and the list of what is in it (.contents.txt). Needs launch/setup.sh --bundle.
set -euo pipefail
cd "$(dirname "$0")/.."
output=$PWD/build/bundle
max_bytes=$((64 << 20))
staging=  # a folder that goes at the end
trap '[ -z "$staging" ] || rm -rf "$staging"' EXIT

die() {
  echo "bundle.sh: $1" >&2
  exit "${2:-1}"
}

# describe ARCHIVE: writes what lies beside it.
describe() {
  local name=${1##*/}
  (cd "$output" && sha256sum "$name" >"$name.sha256")
  tar -tvf "$1" >"${1%.tar.xz}.contents.txt"
  echo "$1: $(stat -c %s "$1") bytes, $(tar -tf "$1" | grep -vc '/$') files"
}

# The name of the folder that a bundle unpacks to.
folder() {
  local version
  version=$(sed -n 's/^project(phalanx VERSION \([0-9.]*\) .*/\1/p' CMakeLists.txt)
  echo "phalanx-$version-linux-$(uname -m)"
}

programs() {  # PRESET SUFFIX
  local archive
  archive=$output/$(folder)$2.tar.xz
  launch/build.sh "$1" bundle_programs
  rm -rf "$output/_CPack_Packages" "${archive%.tar.xz}".*
  local log
  log=$(cpack --config "build/$1/CPackConfig.cmake" 2>&1) || { echo "$log" >&2; die "cpack failed"; }
  rm -rf "$output/_CPack_Packages"
  describe "$archive"
  [ "$(stat -c %s "$archive")" -le "$max_bytes" ] || die "$archive is larger than $max_bytes bytes"
}

nccl() {
  launch/fetch_cuda_libraries.sh nccl
  local from=.cache/nccl version archive
  [ -f $from/lib/libnccl.so.2 ] ||
    die "$from/lib/libnccl.so.2 is missing: this system has an NCCL of its own, which is not packed"
  version=$(cat $from/VERSION)
  archive=$output/phalanx-nccl-$version-linux-$(uname -m).tar.xz
  mkdir -p "$output"
  staging=$(mktemp -d "$output/nccl.XXXXXXXX")
  install -D -m 755 $from/lib/libnccl.so.2 "$staging/$(folder)/lib/libnccl.so.2"
  install -D -m 644 $from/License.txt "$staging/$(folder)/licenses/nccl/License.txt"
  XZ_OPT="-T0 -6" tar -C "$staging" --owner=0 --group=0 --sort=name -cJf "$archive" "$(folder)"
  describe "$archive"
}

for program in patchelf xz; do
  command -v $program >/dev/null || die "$program is missing; launch/setup.sh --bundle installs it"
done
case ${1:-cuda} in
  cuda) programs cuda "" ;;
  release) programs release -cpu ;;
  nccl) nccl ;;
  -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0" ;;
  *) die "argument is '$1', allowed: cuda, release, nccl" 2 ;;
esac
