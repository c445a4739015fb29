#!/usr/bin/env bash
# Checks an archive of launch/bundle.sh: check_bundle.sh ARCHIVE
#
# Its SHA-256 and its contents; that each file finds its libraries in the bundle, or is glibc's; and, in a root file
# system that has nothing but this machine's essential programs, that everything runs (in_bare_root.sh). Exit code 0:
# good; 1: not; 77: the last part was left out, since this machine grants no file system of its own.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
archive=$(readlink -f "${1:?usage: check_bundle.sh ARCHIVE}")
name=$(basename "$archive" .tar.xz)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
bundle=$root/opt/$name
failed=0

fail() {
  echo "check_bundle.sh: $*" >&2
  failed=1
}

(cd "$(dirname "$archive")" && sha256sum --quiet -c "$(basename "$archive").sha256") || fail "the SHA-256 is another"
[ "$(stat -c %s "$archive")" -le $((64 << 20)) ] || fail "$archive is larger than 64 MiB"
mkdir -p "$root/opt"
tar -C "$root/opt" -xf "$archive" || exit 1
(cd "$bundle" && sha256sum --quiet -c CONTENTS) || fail "files differ from CONTENTS"
for file in README.md LICENSE COMMIT bin/worker bin/coordinator bin/phalanx bin/mpirun launch/serve.sh launch/gpu-check.sh \
  launch/demo/model/config.json tests/model/live_16_bit.py bench/results; do
  [ -e "$bundle/$file" ] || fail "$file is missing"
done
goldens=$(find "$bundle/tests/model/goldens" -name '*.json' | wc -l)
[ "$goldens" -ge 4 ] || fail "$goldens goldens, expected at least 4"

# Every library is the bundle's own, or glibc's, which every host has.
glibc='^(ld-linux-x86-64|lib(c|m|mvec|dl|pthread|rt|resolv|util))\.so\.[0-9]+$'
files=0
while IFS= read -r file; do
  dynamic=$(readelf -dW "$file" 2>/dev/null) && [ -n "$dynamic" ] || continue
  files=$((files + 1))
  runpath=$(sed -n 's/.*R\(UN\)\{0,1\}PATH).*\[\(.*\)\]$/\2/p' <<<"$dynamic")
  case $runpath in
    "\$ORIGIN" | "\$ORIGIN/.."*) ;;
    *) fail "${file#"$bundle/"}: rpath is '$runpath', expected one that begins with \$ORIGIN" ;;
  esac
  folder=$(readlink -m "${runpath/\$ORIGIN/$(dirname "$file")}")
  for library in $(sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p' <<<"$dynamic"); do
    [[ $library =~ $glibc ]] || [ -f "$folder/$library" ] || fail "${file#"$bundle/"} needs $library"
  done
  newest=$(readelf -VW "$file" | grep -oE 'GLIBC_2\.[0-9]+' | sort -t. -k2 -n | tail -n 1)
  [ -z "$newest" ] || [ "${newest#GLIBC_2.}" -le 36 ] || fail "${file#"$bundle/"} needs $newest, allowed: 2.36"
done < <(find "$bundle" -type f ! -name '*.json' ! -name '*.txt')
[ "$files" -ge 50 ] || fail "$files ELF files, expected at least 50"
echo "$name: $(stat -c %s "$archive") bytes, $files ELF files with their libraries, $goldens goldens"

# The bare root: the essential packages' programs and what these load.
copy() {  # FILE...
  local file
  for file in "$@"; do
    [ -e "$root$file" ] || { mkdir -p "$root$(dirname "$file")" && cp -L "$file" "$root$file"; }
  done
}
make_root() {
  mkdir -p "$root"/{etc,proc,dev,sys,tmp,usr/bin,usr/sbin,usr/lib,usr/lib64}
  ln -s usr/bin "$root/bin"
  ln -s usr/sbin "$root/sbin"
  ln -s usr/lib "$root/lib"
  ln -s usr/lib64 "$root/lib64"
  local packages program
  mapfile -t packages < <(dpkg-query -W -f '${Essential} ${Package}\n' | sed -n 's/^yes //p' | grep -vE '^(dpkg|perl-base)$')
  while IFS= read -r program; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    copy "$program"
    copy $(ldd "$program" 2>/dev/null | grep -oE '/[^ ]+')
  done < <(dpkg -L "${packages[@]}" mawk | grep -E '^(/usr)?/s?bin/.' | sort -u)
  ln -sf bash "$root/bin/sh"
  ln -sf mawk "$root/bin/awk"
  echo "root:x:0:0:root:/tmp:/bin/bash" >"$root/etc/passwd"
  cp "$here/in_bare_root.sh" "$root/"
}
own=(unshare --mount --pid --fork)
[ "$(id -u)" -eq 0 ] || own=(unshare --user --map-root-user --mount --pid --fork)
if ! command -v dpkg >/dev/null || ! "${own[@]}" mount -t proc proc /proc; then
  echo "check_bundle.sh: skipped what runs in a bare file system: no dpkg, or no namespaces" >&2
  [ $failed -ne 0 ] || exit 77
else
  make_root
  # With the namespace ends every process of it.
  timeout --foreground 600 "${own[@]}" --kill-child sh -c '
    mount --rbind /dev "$1/dev" && mount --rbind /sys "$1/sys" && mount -t proc proc "$1/proc" && cd "$1" &&
      exec chroot . env -i PATH=/usr/bin:/usr/sbin bash /in_bare_root.sh "/opt/$2"' sh "$root" "$name" ||
    fail "not everything runs in a bare file system"
fi
[ $failed -eq 0 ] && echo "$name: good"
exit $failed
