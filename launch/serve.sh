#!/usr/bin/env bash
# Serves a model: one coordinator and N ranks, in the foreground.
#
#   launch/serve.sh --model DIR -np N [flags of worker and coordinator]
#
# Every flag goes to each of the two programs that knows it. Prints one line `ready grpc=HOST:PORT` when it can
# serve. SIGTERM or Ctrl-C drains and leaves no process. A lost rank ends everything with a non-zero exit code.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${PHALANX_BIN_DIR:-$root/build/release/bin}

die() {
  echo "serve.sh: $1" >&2
  exit 2
}
for program in worker coordinator; do
  [ -x "$bin/$program" ] || die "$bin/$program is missing; build it with launch/build.sh release"
done

worker_help=$("$bin/worker" --help)
coordinator_help=$("$bin/coordinator" --help)
knows() { grep -qE -- "(^|[ ,])$2([ ,={]|\$)" <<<"$1"; }

# A folder, or a hub id that lies in the Hugging Face cache.
locate() {
  [ -d "$1" ] && { echo "$1"; return; }
  [[ $1 =~ ^([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)(@([A-Za-z0-9._-]+))?$ ]] ||
    die "--model: no folder '$1'; allowed: a folder, or a hub id OWNER/NAME or OWNER/NAME@REVISION"
  local cache=${HF_HUB_CACHE:-${HF_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/huggingface}/hub}
  local repository=$cache/models--${BASH_REMATCH[1]}--${BASH_REMATCH[2]}
  local revision=${BASH_REMATCH[4]:-main}
  revision=$(cat "$repository/refs/$revision" 2>/dev/null) && [ -d "$repository/snapshots/$revision" ] ||
    die "--model: '$1' is no folder and not in the cache $cache; fetch it with: launch/fetch.sh $1"
  echo "$repository/snapshots/$revision"
}

ranks=1
worker_args=()
coordinator_args=()
drain_s=30
while [ $# -gt 0 ]; do
  flag=${1%%=*}
  words=("$1")
  if [[ $1 != *=* && $# -gt 1 && $2 != --* && $2 != -np ]]; then words+=("$2"); fi
  value=${words[1]:-${1#*=}}
  case $flag in
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -np) [[ $value =~ ^[1-9][0-9]*$ ]] || die "-np: is '$value', allowed: a number of ranks from 1 up"
         ranks=$value ;;
    --model)
      folder=$(locate "$value") || exit 2
      worker_args+=(--model "$folder")
      coordinator_args+=(--model "$folder") ;;
    --engine | --ready-file) die "$flag is set by serve.sh itself" ;;
    --*)
      [ "$flag" = --shutdown-timeout ] && drain_s=$value
      known=no
      if knows "$worker_help" "$flag"; then worker_args+=("${words[@]}"); known=yes; fi
      if knows "$coordinator_help" "$flag"; then coordinator_args+=("${words[@]}"); known=yes; fi
      [ $known = yes ] || die "unknown flag $flag; see worker --help and coordinator --help" ;;
    *) die "unexpected argument '$1'; allowed: --model DIR -np N and flags" ;;
  esac
  shift ${#words[@]}
done

# Folders of launchers that were killed hold a few MiB a rank; they go first.
parent=${XDG_RUNTIME_DIR:-/tmp}
for stale in "$parent"/phalanx.*/pid; do
  [ -O "$stale" ] && ! kill -0 "$(cat "$stale")" 2>/dev/null && rm -rf "${stale%/pid}"
done
runtime=$(mktemp -d "$parent/phalanx.XXXXXXXX") || die "cannot make a runtime folder"
echo $$ >"$runtime/pid"
coordinator=
group=
cleanup() {
  [ -n "$group" ] && kill -KILL -- "-$group" 2>/dev/null
  [ -n "$coordinator" ] && kill -KILL "$coordinator" 2>/dev/null
  rm -rf "$runtime"
}
trap cleanup EXIT
stopping=no
trap 'stopping=yes; [ -n "$coordinator" ] && kill -TERM "$coordinator" 2>/dev/null' TERM INT HUP

# Sessions of their own keep a terminal's Ctrl-C from reaching the ranks before the coordinator has drained; the
# death signal keeps them from outliving a killed serve.sh.
setsid setpriv --pdeathsig KILL "$bin/coordinator" "${coordinator_args[@]}" --engine "$runtime/engine.sock" \
  --ready-file "$runtime/ready" >&2 &
coordinator=$!

mpi=(--bind-to none --oversubscribe --mca btl_vader_backing_directory "$runtime"
  --mca orte_base_help_aggregate 1 -np "$ranks")
[ "$(id -u)" -eq 0 ] && mpi+=(--allow-run-as-root)
setsid setpriv --pdeathsig TERM mpirun "${mpi[@]}" "$bin/worker" "${worker_args[@]}" \
  --engine "$runtime/engine.sock" >&2 </dev/null &
group=$!

alive() { kill -0 "$1" 2>/dev/null; }
announced=no
while alive "$coordinator" && alive "$group"; do
  if [ $announced = no ] && [ -s "$runtime/ready" ]; then
    echo "ready $(cat "$runtime/ready")"
    announced=yes
  fi
  if [ $announced = no ]; then sleep 0.05; else sleep 0.2; fi
done

# One of the two has ended. After a stop request both must end by themselves within the drain time; a group that never
# attached knows of no drain, and without a coordinator there is nothing to drain.
first=group
alive "$coordinator" || first=coordinator
[ $announced = no ] && [ $first = coordinator ] && kill -KILL -- "-$group" 2>/dev/null
deadline=$((SECONDS + ${drain_s%%.*} + 5))
if [ $stopping = no ]; then
  alive "$coordinator" && sleep 0.5 && kill -TERM "$coordinator" 2>/dev/null
  deadline=$((SECONDS + 5))
fi
while { alive "$coordinator" || alive "$group"; } && [ $SECONDS -lt $deadline ]; do sleep 0.05; done
alive "$group" && kill -KILL -- "-$group" 2>/dev/null
alive "$coordinator" && kill -KILL "$coordinator" 2>/dev/null
wait "$coordinator"; coordinator_rc=$?; coordinator=
wait "$group"; group_rc=$?; group=
if [ $stopping = yes ] && [ $coordinator_rc -eq 0 ] && { [ $group_rc -eq 0 ] || [ $announced = no ]; }; then
  exit 0
fi
echo "serve.sh: coordinator exited with $coordinator_rc, ranks with $group_rc" >&2
if [ $first = coordinator ]; then codes="$coordinator_rc $group_rc"; else codes="$group_rc $coordinator_rc"; fi
for rc in $codes; do [ "$rc" -ne 0 ] && exit "$rc"; done
exit 1
