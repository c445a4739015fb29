#!/usr/bin/env bash
# Fetches the source archives of launch/sources.txt into .cache/sources/ and checks them. What is there already and
# right is left alone. PIP_INDEX_URL or pip's configuration names another package index.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/package_index.sh

while read -r name version sha256; do
  case $name in '' | '#'*) continue ;; esac
  fetch_from_index "$name" "$name-$version.tar.gz" "$sha256" .cache/sources "structured output is built on it" || exit 1
done <launch/sources.txt
