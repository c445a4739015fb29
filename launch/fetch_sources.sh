#!/usr/bin/env bash
# Fetches the source archives of launch/sources.txt into .cache/sources/ and checks them. What is there already and
# right is left alone. PIP_INDEX_URL or pip's configuration names another package index.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=.cache/sources

index_url() {
  if [ -n "${PIP_INDEX_URL:-}" ]; then
    echo "$PIP_INDEX_URL"
  else
    python3 -m pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple
  fi
}

# fetch NAME VERSION SHA256
fetch() {
  local archive=$1-$2.tar.gz index page link
  if [ -f "$folder/$archive" ] && echo "$3  $folder/$archive" | sha256sum --check --status; then return; fi
  index=$(index_url)
  echo "setup: fetches $archive (structured output is built on it)"
  page=$(curl -fsSL --retry 3 "${index%/}/$1/") || {
    echo "setup: cannot read the package index ${index%/}/$1/" >&2
    return 1
  }
  link=$(grep -o "href=\"[^\"]*/$archive[^\"]*\"" <<<"$page" | head -n 1 | sed 's/^href="//; s/["#].*$//')
  case $link in
    http*) ;;
    /*) link=$(sed 's,^\([a-z]*://[^/]*\).*,\1,' <<<"$index")$link ;;
    "") echo "setup: ${index%/}/$1/ has no $archive" >&2; return 1 ;;
    *) link=${index%/}/$1/$link ;;
  esac
  mkdir -p "$folder"
  curl -fsSL --retry 3 -o "$folder/$archive.part" "$link" || {
    echo "setup: cannot fetch $link" >&2
    return 1
  }
  if ! echo "$3  $folder/$archive.part" | sha256sum --check --status; then
    echo "setup: $archive has another SHA-256 than launch/sources.txt says: $(sha256sum <"$folder/$archive.part")" >&2
    return 1
  fi
  mv "$folder/$archive.part" "$folder/$archive"
}

while read -r name version sha256; do
  case $name in '' | '#'*) continue ;; esac
  fetch "$name" "$version" "$sha256" || exit 1
done <launch/sources.txt
