#!/usr/bin/env bash
# Fetches libraries beside CUDA from the Python package index, checks them, and puts them where programs look for them:
# NCCL, which sums between GPUs (216 MB; worker takes .cache/nccl/lib/libnccl.so.2), and cuBLAS, which bench_ops compares
# with and serving never uses (423 MB, of which .cache/cublas/lib keeps two libraries). Leaves alone what the system has
# or is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/package_index.sh

# fetch_libraries FOLDER VERSION PACKAGE PLATFORM WHY SHA256_X86_64 SHA256_AARCH64 LIBRARY...: .cache/FOLDER/lib/LIBRARY
# and the licence, from the wheel of PACKAGE; its headers and other libraries are of no use here.
fetch_libraries() {
  local folder=.cache/$1 version=$2 package=$3 platform=$4 why=$5 sha256 wheel
  case $(uname -m) in
    x86_64) sha256=$6 ;;
    aarch64) sha256=$7 ;;
    *) echo "fetch_cuda_libraries.sh: this machine is $(uname -m), $package is made for x86_64 and aarch64" >&2; return 1 ;;
  esac
  shift 7
  if PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -qF "$1 "; then
    echo "setup: takes the system's $1"
    return
  fi
  if [ -f "$folder/lib/$1" ] && [ "$(cat "$folder/VERSION" 2>/dev/null)" = "$version" ]; then return; fi
  wheel=${package//-/_}-$version-py3-none-${platform}_$(uname -m).whl
  fetch_from_index "$package" "$wheel" "$sha256" "$folder" "$why" || return
  python3 - "$folder" "$wheel" "$@" <<'PYTHON' || return
import os, pathlib, shutil, sys, zipfile

folder = pathlib.Path(sys.argv[1])
(folder / "lib").mkdir(exist_ok=True)
with zipfile.ZipFile(folder / sys.argv[2]) as wheel:
    names = {pathlib.PurePosixPath(name).name: name for name in wheel.namelist()}
    licence = next(names[name] for name in names if name.lower().startswith("license"))
    for name, target in [(licence, "License.txt")] + [(names[library], f"lib/{library}") for library in sys.argv[3:]]:
        part = folder / f"{target}.part"
        with wheel.open(name) as source, open(part, "wb") as sink:
            shutil.copyfileobj(source, sink)
        os.replace(part, folder / target)
PYTHON
  rm "$folder/$wheel"
  echo "$version" >"$folder/VERSION"
}

case ${1:-} in
  nccl)
    fetch_libraries nccl 2.30.7 nvidia-nccl-cu13 manylinux_2_18 "sums between GPUs" \
      cefa7fdb9710efd0f39c5f1be1d61ff6fc9a996c451265bd7fbdcf9455ed4b50 \
      ca786ffa5a647c75d4d1f5cc72a6c4f537947e2ba8823d7c8aaf768e7a7b9f77 libnccl.so.2
    ;;
  cublas)
    fetch_libraries cublas 13.1.0.3 nvidia-cublas manylinux_2_27 "what bench_ops compares with" \
      ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171 \
      c86fc7f7ae36d7528288c5d88098edcb7b02c633d262e7ddbb86b0ad91be5df2 libcublas.so.13 libcublasLt.so.13
    ;;
  *) echo "fetch_cuda_libraries.sh: argument is '${1:-}', allowed: nccl, cublas" >&2; exit 2 ;;
esac
