# Reads a Python package index; sourced by the scripts that fetch from one. PIP_INDEX_URL or pip's configuration names
# another index than PyPI.

index_url() {
  if [ -n "${PIP_INDEX_URL:-}" ]; then
    echo "$PIP_INDEX_URL"
  else
    python3 -m pip config get global.index-url 2>/dev/null || echo https://pypi.org/simple
  fi
}

# fetch_from_index PACKAGE FILE SHA256 FOLDER WHY: FOLDER/FILE, checked; what is there already and right is left alone.
fetch_from_index() {
  local package=$1 file=$2 sha256=$3 folder=$4 why=$5 index page link
  if [ -f "$folder/$file" ] && echo "$sha256  $folder/$file" | sha256sum --check --status; then return; fi
  index=$(index_url)
  echo "setup: fetches $file ($why)"
  page=$(curl -fsSL --retry 3 "${index%/}/$package/") || {
    echo "setup: cannot read the package index ${index%/}/$package/" >&2
    return 1
  }
  link=$(grep -o "href=\"[^\"]*/$file[^\"]*\"" <<<"$page" | head -n 1 | sed 's/^href="//; s/["#].*$//')
  case $link in
    http*) ;;
    /*) link=$(sed 's,^\([a-z]*://[^/]*\).*,\1,' <<<"$index")$link ;;
    "") echo "setup: ${index%/}/$package/ has no $file" >&2; return 1 ;;
    *) link=${index%/}/$package/$link ;;
  esac
  mkdir -p "$folder"
  curl -fsSL --retry 3 -o "$folder/$file.part" "$link" || {
    echo "setup: cannot fetch $link" >&2
    return 1
  }
  if ! echo "$sha256  $folder/$file.part" | sha256sum --check --status; then
    echo "setup: $file has another SHA-256 than it should: $(sha256sum <"$folder/$file.part")" >&2
    return 1
  fi
  mv "$folder/$file.part" "$folder/$file"
}
