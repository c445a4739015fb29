#!/usr/bin/env bash
# Fetches NCCL's library from the Python package index, checks it, and puts it where worker looks for it: 216 MB, of which
# .cache/nccl/lib/libnccl.so.2 stays. Does nothing where the system has the library, or this is done already.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/package_index.sh
version=2.30.7
case $(uname -m) in
  x86_64) sha256=cefa7fdb9710efd0f39c5f1be1d61ff6fc9a996c451265bd7fbdcf9455ed4b50 ;;
  aarch64) sha256=ca786ffa5a647c75d4d1f5cc72a6c4f537947e2ba8823d7c8aaf768e7a7b9f77 ;;
  *) echo "fetch_nccl.sh: this machine is $(uname -m), NCCL is made for x86_64 and aarch64" >&2; exit 1 ;;
esac
folder=.cache/nccl
wheel=nvidia_nccl_cu13-$version-py3-none-manylinux_2_18_$(uname -m).whl

if PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -q 'libnccl\.so\.2 '; then
  echo "setup: takes the system's NCCL"
  exit 0
fi
if [ -f "$folder/lib/libnccl.so.2" ] && [ "$(cat "$folder/VERSION" 2>/dev/null)" = "$version" ]; then exit 0; fi

fetch_from_index nvidia-nccl-cu13 "$wheel" "$sha256" "$folder" "sums between GPUs"
# The rest of the wheel is headers, which nothing needs.
python3 - "$folder" "$wheel" <<'PYTHON'
import os, pathlib, shutil, sys, zipfile

folder = pathlib.Path(sys.argv[1])
(folder / "lib").mkdir(exist_ok=True)
with zipfile.ZipFile(folder / sys.argv[2]) as wheel:
    names = {pathlib.PurePosixPath(name).name: name for name in wheel.namelist()}
    for name, target in (("libnccl.so.2", "lib/libnccl.so.2"), ("License.txt", "License.txt")):
        part = folder / f"{target}.part"
        with wheel.open(names[name]) as source, open(part, "wb") as sink:
            shutil.copyfileobj(source, sink)
        os.replace(part, folder / target)
PYTHON
rm "$folder/$wheel"
echo "$version" >"$folder/VERSION"
