#!/usr/bin/env bash
# Fetches a model into the Hugging Face cache, where --model finds it by its id.
#
#   launch/fetch.sh OWNER/NAME[@REVISION]
#
# Files: config, tokenizer and safetensors weights. An interrupted download is resumed by calling again; every file is
# checked against the size, and against the SHA-256 or git hash, that the hub states. Environment: HF_ENDPOINT
# (another hub), HF_TOKEN (for gated models), HF_HUB_CACHE or HF_HOME (where the cache lies).
set -euo pipefail

die() {
  echo "fetch.sh: $1" >&2
  exit 1
}
[ $# -eq 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[[ $1 =~ ^([A-Za-z0-9_-][A-Za-z0-9._-]*)/([A-Za-z0-9_-][A-Za-z0-9._-]*)(@([A-Za-z0-9_-][A-Za-z0-9._-]*))?$ ]] ||
  { echo "fetch.sh: model: is '$1', allowed: OWNER/NAME or OWNER/NAME@REVISION" >&2; exit 2; }
id=${BASH_REMATCH[1]}/${BASH_REMATCH[2]}
revision=${BASH_REMATCH[4]:-main}
for program in curl python3 sha256sum sha1sum; do
  command -v "$program" >/dev/null || die "$program is missing; install it with launch/setup.sh"
done

endpoint=${HF_ENDPOINT:-https://huggingface.co}
endpoint=${endpoint%/}
cache=${HF_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}
entry=$cache/models--${id//\//--}
mkdir -p "$entry/blobs" "$entry/refs" "$entry/snapshots"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The token goes through a file: arguments are visible to others.
(umask 077; { echo 'silent'; echo 'show-error'; echo 'fail'; echo 'location'
  if [ -n "${HF_TOKEN:-}" ]; then echo "header = \"Authorization: Bearer $HF_TOKEN\""; fi; } >"$work/curlrc")
get() { curl --config "$work/curlrc" --retry 3 "$@"; }

get -o "$work/info.json" "$endpoint/api/models/$id/revision/$revision?blobs=true" ||
  die "$id@$revision: the hub $endpoint did not answer for it; does it exist, and does it need HF_TOKEN?"

# One line a file that serving needs: name, size, hash kind, hash, tab-separated; the first line is the commit.
python3 - "$work/info.json" >"$work/files" <<'PYTHON' || die "$id: the hub's answer is not understood"
import json, re, sys
info = json.load(open(sys.argv[1]))
assert re.fullmatch("[0-9a-f]{40}", info["sha"]), info["sha"]
print(info["sha"])
wanted = re.compile(r"[\w.-]+\.(safetensors|json|jinja)|merges\.txt|LICENSE")
for file in info["siblings"]:
    name = file["rfilename"]
    if not wanted.fullmatch(name) or name.startswith("."):
        continue
    lfs = file.get("lfs")
    kind, digest = ("sha256", lfs["sha256"]) if lfs else ("git", file["blobId"])
    assert re.fullmatch("[0-9a-f]{40}([0-9a-f]{24})?", digest), digest
    print(name, int(lfs["size"] if lfs else file["size"]), kind, digest, sep="\t")
PYTHON
commit=$(head -n 1 "$work/files")
snapshot=$entry/snapshots/$commit
mkdir -p "$snapshot"

digest_of() {  # KIND FILE
  case $1 in
    sha256) sha256sum <"$2" ;;
    git) { printf 'blob %s\0' "$(stat -c %s "$2")"; cat "$2"; } | sha1sum ;;
  esac | cut -d' ' -f1
}

fetch_file() {  # NAME SIZE KIND HASH
  local blob=$entry/blobs/$4 part=$entry/blobs/$4.incomplete
  if [ ! -f "$blob" ]; then
    local have=0
    [ -f "$part" ] && have=$(stat -c %s "$part")
    [ "$have" -gt "$2" ] && { rm -f "$part"; have=0; }
    echo "$1: $2 bytes$([ "$have" -gt 0 ] && echo ", $have of them already here")"
    if [ "$2" -eq 0 ]; then : >"$part"; fi
    if [ "$have" -lt "$2" ]; then
      get -C - -o "$part" "$endpoint/$id/resolve/$commit/$1" ||
        die "$1: the download broke off; call again to resume it"
    fi
    local size digest
    size=$(stat -c %s "$part")
    [ "$size" -eq "$2" ] || { rm -f "$part"; die "$1: has $size bytes, expected $2"; }
    digest=$(digest_of "$3" "$part")
    [ "$digest" = "$4" ] || { rm -f "$part"; die "$1: has $3 hash $digest, expected $4"; }
    mv "$part" "$blob"
  fi
  ln -sfn "../../blobs/$4" "$snapshot/$1"
}

while IFS=$'\t' read -r name size kind hash; do
  fetch_file "$name" "$size" "$kind" "$hash"
done < <(tail -n +2 "$work/files")
[ -e "$snapshot/config.json" ] || die "$id: has no config.json"
# The name moves last: it never points at a snapshot that is not whole.
printf %s "$commit" >"$work/ref"
mv "$work/ref" "$entry/refs/$revision"
echo "$id is in $snapshot"
