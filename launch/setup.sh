#!/usr/bin/env bash
# Installs the Debian packages that Phalanx needs and that are missing, and fetches into .cache/sources what Debian does
# not have (launch/sources.txt). Says what and why; installs nothing else.
#
#   launch/setup.sh            what building, fetching models and serving need
#   launch/setup.sh --test     and what the tests need
#   launch/setup.sh --bundle   and what launch/bundle.sh needs
#   launch/setup.sh --ci       and what the project's own checks need
#   launch/setup.sh --cuda     and NCCL, which serving from several GPUs needs, and cuBLAS, which bench_ops compares with;
#                              says whether there is an nvcc for the cuda preset, which Debian does not have
set -euo pipefail

# package:why
build_packages=(
  "build-essential:the C++ compiler"
  "cmake:configures the build"
  "ninja-build:runs the build"
  "pkg-config:finds libraries"
  "libgrpc++-dev:gRPC between client, coordinator and rank 0"
  "protobuf-compiler:compiles the protocol"
  "protobuf-compiler-grpc:compiles the protocol's services"
  "libprotobuf-dev:protocol messages"
  "libopenmpi-dev:MPI between ranks"
  "openmpi-bin:mpirun"
  "iproute2:gives mpirun a network of its own"
  "libhwy-dev:portable SIMD"
  "libfmt-dev:message formatting"
  "libspdlog-dev:logging"
  "libcli11-dev:command lines"
  "nlohmann-json3-dev:JSON"
  "libyaml-cpp-dev:--config files"
  "prometheus-cpp-dev:metrics"
  "libssl-dev:TLS, digests of API keys"
  "libboost-dev:Asio, the event loop of the HTTP server (headers alone)"
  "libboost-context-dev:fibers, the threads of CUDA kernels that the CPU executes"
)
fetch_packages=(
  "curl:downloads models"
  "ca-certificates:whom to trust for https"
  "python3:reads a hub's list of files; end-to-end tests"
)
test_packages=(
  "libgtest-dev:GoogleTest"
  "libgmock-dev:GoogleMock"
  "libbenchmark-dev:Google Benchmark"
)
bundle_packages=(
  "patchelf:lets copied libraries find each other in the bundle's folder"
  "xz-utils:packs it"
)
ci_packages=(
  "ccache:makes building the same again take seconds"
  "clang-format:code layout"
  "clang-tidy:static analysis"
  "clang:the fuzzers"
  "libclang-rt-dev:what the compiler of the fuzzers links with, which it only recommends"
  "python3-venv:the environments of the reference implementation and of the browser's tests"
  "chromium:the chat page's tests"
  "chromium-driver:lets tests use the browser"
)

packages=("${build_packages[@]}" "${fetch_packages[@]}")
wants_cuda=no
for argument in "$@"; do
  case $argument in
    --test) packages+=("${test_packages[@]}") ;;
    --bundle) packages+=("${test_packages[@]}" "${bundle_packages[@]}") ;;
    --ci) packages+=("${test_packages[@]}" "${bundle_packages[@]}" "${ci_packages[@]}") ;;
    --cuda)
      release=$(nvcc --version 2>/dev/null | sed -n 's/.*release \([0-9]*\)\..*/\1/p') || true
      [ "${release:-0}" -ge 13 ] ||
        { echo "setup.sh: --cuda: nvcc on PATH is ${release:-missing}, allowed: 13 or later, from NVIDIA's CUDA toolkit" >&2; exit 1; }
      wants_cuda=yes
      ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "setup.sh: unknown argument '$argument', allowed: --test, --bundle, --ci, --cuda" >&2; exit 2 ;;
  esac
done

command -v apt-get >/dev/null ||
  { echo "setup.sh: apt-get is missing; allowed: Debian 12, or install the packages listed in this file" >&2; exit 1; }
missing=()
for entry in "${packages[@]}"; do
  package=${entry%%:*}
  if ! dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
    echo "setup: needs $package (${entry#*:})"
    missing+=("$package")
  fi
done

install_missing() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup.sh: installing packages needs root (no sudo found)" >&2; exit 1; }
    as_root=(sudo)
  fi
  # sudo passes no environment on; the lock may be held by the machine's own upgrades.
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}"
}
[ ${#missing[@]} -eq 0 ] || install_missing

# Debian has no package of the grammar library. All else builds without it.
"$(dirname "$0")/fetch_sources.sh" ||
  echo "setup: without this archive the build leaves out structured output, and nothing else" >&2

[ $wants_cuda = no ] || "$(dirname "$0")/fetch_cuda_libraries.sh" nccl ||
  echo "setup: without NCCL, sums between GPUs go through the host's memory: worker --communicator shm" >&2
[ $wants_cuda = no ] || "$(dirname "$0")/fetch_cuda_libraries.sh" cublas ||
  echo "setup: without cuBLAS, bench_ops has nothing to compare with, and all else works" >&2
