#!/usr/bin/env bash
# Fetches cuBLAS from the Python package index, checks it, and puts it where bench_ops looks for it: 423 MB to fetch, of
# which .cache/cublas/lib keeps two libraries. A comparator of benchmarks: serving never uses it. Does nothing where the
# system has the library, or this is done already.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/package_index.sh
version=13.1.0.3
case $(uname -m) in
  x86_64) sha256=ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171 ;;
  aarch64) sha256=c86fc7f7ae36d7528288c5d88098edcb7b02c633d262e7ddbb86b0ad91be5df2 ;;
  *) echo "fetch_cublas.sh: this machine is $(uname -m), cuBLAS is made for x86_64 and aarch64" >&2; exit 1 ;;
esac
folder=.cache/cublas
wheel=nvidia_cublas-$version-py3-none-manylinux_2_27_$(uname -m).whl

if PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -q 'libcublas\.so\.13 '; then
  echo "setup: takes the system's cuBLAS"
  exit 0
fi
if [ -f "$folder/lib/libcublas.so.13" ] && [ "$(cat "$folder/VERSION" 2>/dev/null)" = "$version" ]; then exit 0; fi

fetch_from_index nvidia-cublas "$wheel" "$sha256" "$folder" "what bench_ops compares with"
python3 - "$folder" "$wheel" <<'PYTHON'
import os, pathlib, shutil, sys, zipfile

folder = pathlib.Path(sys.argv[1])
(folder / "lib").mkdir(exist_ok=True)
with zipfile.ZipFile(folder / sys.argv[2]) as wheel:
    names = {pathlib.PurePosixPath(name).name: name for name in wheel.namelist()}
    licence = next(names[name] for name in names if name.lower().startswith("license"))
    for name, target in ((names["libcublas.so.13"], "lib/libcublas.so.13"),
                         (names["libcublasLt.so.13"], "lib/libcublasLt.so.13"), (licence, "License.txt")):
        part = folder / f"{target}.part"
        with wheel.open(name) as source, open(part, "wb") as sink:
            shutil.copyfileobj(source, sink)
        os.replace(part, folder / target)
PYTHON
rm "$folder/$wheel"
echo "$version" >"$folder/VERSION"
