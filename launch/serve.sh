#!/usr/bin/env bash
# Serves a model: one coordinator and N ranks, in the foreground.
#
#   launch/serve.sh [--model] MODEL [-np N] [flags of worker and coordinator]
#
# MODEL is a folder, or a hub id OWNER/NAME[@REVISION] that lies in the Hugging Face cache; N is 1 unless given. Every
# flag goes to each of the two programs that knows it; see worker --help and coordinator --help. Prints one line
# `ready grpc=HOST:PORT` when it can serve. SIGTERM or Ctrl-C drains and leaves no process, a second one ends at once
# what is still running. A lost rank ends everything with a non-zero exit code; the last line repeats the first error.
# SIGHUP reads keys and certificates again; the end of the terminal that is standard input stops all.
set -uo pipefail
# What is ignored from the start, as nohup has it, no trap can take.
[ "$(trap -p HUP)" != "trap -- '' SIGHUP" ] || exec env --default-signal=HUP "$0" "$@"
root=$(cd "$(dirname "$0")/.." && pwd)
# An unpacked bundle has programs, libraries and mpirun beside this folder.
bin=$root/bin
[ -x "$bin/worker" ] || bin=$root/build/release/bin
bin=${PHALANX_BIN_DIR:-$bin}
mpirun=$bin/mpirun
[ -x "$mpirun" ] || mpirun=mpirun

die() {
  echo "serve.sh: $1" >&2
  exit 2
}
case " $* " in *" --help "* | *" -h "*) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
for program in worker coordinator; do
  [ -x "$bin/$program" ] || die "$bin/$program is missing; build it with launch/build.sh release"
done

# knows["PROGRAM --flag"]: how many values the flag takes: none, one or many. A program's help has a line
# "  --flag,--other TYPE  text" for each option, without TYPE for one that takes no value.
declare -A knows
learn_flags() {  # PROGRAM
  local line names values name
  while IFS= read -r line; do
    [[ $line =~ ^\ {2}(-[^\ ]+)(.*)$ ]] || continue
    names=${BASH_REMATCH[1]} values=${BASH_REMATCH[2]%%  *}
    case $values in '') values=none ;; *' ...'*) values=many ;; *) values=one ;; esac
    for name in ${names//,/ }; do knows["$1 ${name%%\{*}"]=$values; done
  done < <("$bin/$1" --help)
}
learn_flags worker
learn_flags coordinator

number_of_ranks() {  # FLAG VALUE
  [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || die "$1: is '$2', allowed: a number of ranks from 1 to 99999"
  ranks=$2
}

# Whole seconds, rounded up, of what the coordinator takes for --shutdown-timeout.
whole_seconds() {  # VALUE
  [[ $1 =~ ^([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2})?$ ]] || return 1
  local seconds
  seconds=$(LC_ALL=C printf '%.0f' "$1") && [ ${#seconds} -le 7 ] && [ "$seconds" -le 1000000 ] || return 1
  echo $((seconds + 1))
}
shutdown_timeout() {  # VALUE
  drain_s=$(whole_seconds "$1") || die "--shutdown-timeout: is '$1', allowed: seconds from 0 to 1000000"
}

ranks=1
model=
config=
drain_s=31
worker_args=()
coordinator_args=()
while [ $# -gt 0 ]; do
  flag=${1%%=*}
  if [[ $flag != -* ]]; then
    [ -z "$model" ] || die "unexpected argument '$1'; the model is '$model', allowed besides: -np N and flags"
    model=$1
    shift
    continue
  fi
  values=${knows["worker $flag"]:-${knows["coordinator $flag"]:-unknown}}
  case $flag in
    -np) values=one ;;
    --engine | --ready-file) die "$flag is set by serve.sh itself" ;;
  esac
  [ "$values" = unknown ] && die "unknown flag $flag; see worker --help and coordinator --help"
  words=("$1")
  if [[ $1 != *=* && $values != none ]]; then
    [[ $# -gt 1 && $2 != --* && $2 != -np ]] || die "$flag: needs a value"
    words+=("$2")
    if [ "$values" = many ]; then
      for word in "${@:3}"; do
        [[ $word != -* ]] || break
        words+=("$word")
      done
    fi
  fi
  value=${words[1]-${1#*=}}
  case $flag in
    -np) number_of_ranks "$flag" "$value" ;;
    --model) model=$value ;;
    *)
      [ "$flag" = --config ] && config=$value
      [ "$flag" = --shutdown-timeout ] && shutdown_timeout "$value"
      [ -n "${knows["worker $flag"]:-}" ] && worker_args+=("${words[@]}")
      [ -n "${knows["coordinator $flag"]:-}" ] && coordinator_args+=("${words[@]}") ;;
  esac
  shift ${#words[@]}
done
if [ -n "$model" ]; then
  worker_args+=("--model=$model")
  coordinator_args+=("--model=$model")
elif [ -z "$config" ]; then
  die "--model: is missing, allowed: a model's folder or a hub id OWNER/NAME"
fi
if [ -n "$config" ] && [[ " ${coordinator_args[*]}" != *" --shutdown-timeout"* ]]; then
  configured=$(sed -n 's/^ *shutdown-timeout: *\([^ #]*\).*/\1/p' "$config" 2>/dev/null | tail -n 1)
  [ -z "$configured" ] || shutdown_timeout "$configured"
fi

# Folders of launchers that were killed hold a few MiB a rank; they go first.
parent=${XDG_RUNTIME_DIR:-/tmp}
[ -d "$parent" ] && [ -w "$parent" ] || parent=/tmp
for stale in "$parent"/phalanx.*/pid; do
  [ -O "$stale" ] && ! kill -0 "$(cat "$stale")" 2>/dev/null && rm -rf "${stale%/pid}"
done
runtime=$(mktemp -d "$parent/phalanx.XXXXXXXX") || die "cannot make a runtime folder in $parent"
echo $$ >"$runtime/pid"

# What is running, by process id; empty: has ended.
coordinator=
group=    # mpirun, and the session of its ranks
watcher=  # ends when the service is ready
timer=    # ends when the service should have ended

# Ranks have process groups of their own; what they share is mpirun's session. SIGKILL also ends a stopped one.
kill_group() {
  local stat fields member
  [ -n "$group" ] && kill -KILL "$group" 2>/dev/null  # which may have no session yet
  [ -n "$session" ] || return 0
  for stat in /proc/[0-9]*/stat; do
    # "PID (NAME) STATE PARENT GROUP SESSION ...", where NAME may hold anything.
    IFS= read -r -d '' fields 2>/dev/null <"$stat"
    read -r _ _ _ member _ <<<"${fields##*)}"
    stat=${stat#/proc/}
    [ "$member" = "$session" ] && kill -KILL "${stat%/stat}" 2>/dev/null
  done
}
kill_all() {
  [ -n "$coordinator" ] && kill -KILL "$coordinator" 2>/dev/null
  kill_group
}
cleanup() {
  kill_all
  for helper in $watcher $timer $log_copier $error_finder; do kill "$helper" 2>/dev/null; done
  rm -rf "$runtime"
}
session=
log_copier=
error_finder=
trap cleanup EXIT

expect_end_within() {  # SECONDS
  # By a signal that no trap takes: one that has just been forked still has this shell's traps, and would end the service.
  [ -n "$timer" ] && kill -KILL "$timer" 2>/dev/null
  setpriv --pdeathsig KILL sleep "$1" &
  timer=$!
}
stop_requests=0
request_stop() {
  stop_requests=$((stop_requests + 1))
  [ -n "$coordinator" ] && kill -TERM "$coordinator" 2>/dev/null
  if [ "$stop_requests" -eq 1 ]; then expect_end_within $((drain_s + 5)); else expect_end_within 5; fi
}
trap request_stop TERM INT
# A terminal that goes takes the service along; else a hangup says what it says to daemons.
[ -t 0 ] && on_terminal=yes || on_terminal=no
hang_up() {
  if [ $on_terminal = yes ] && ! [ -t 0 ]; then
    request_stop
  elif [ -n "$coordinator" ]; then
    kill -HUP "$coordinator" 2>/dev/null
  fi
}
trap hang_up HUP

# Both programs log through a pipe that keeps the first error. Its readers end with the programs.
# The pipe is open before they start: with no writer left, its reader would be gone, and the next one would wait for it.
mkfifo "$runtime/log" "$runtime/errors"
exec {log}<>"$runtime/log"
setsid tee -p "$runtime/errors" <"$runtime/log" >&2 {log}>&- &
log_copier=$!
setsid grep -a -m 1 -E '^[0-9-]+ [0-9:.]+ [CE] |"level": ?"(critical|error)"|^(worker|coordinator): |^mpirun noticed' \
  <"$runtime/errors" >"$runtime/first_error" {log}>&- &
error_finder=$!

# Sessions of their own keep a terminal's Ctrl-C from reaching the ranks before the coordinator has drained; the
# death signal keeps them from outliving a killed serve.sh.
setsid setpriv --pdeathsig KILL "$bin/coordinator" "${coordinator_args[@]}" --engine "$runtime/engine.sock" \
  --ready-file "$runtime/ready" 2>&"$log" >/dev/null </dev/null {log}>&- &
coordinator=$!

# mpirun listens on all addresses, whatever it is told. The ranks of one host need no network, so they get one of their own, with a loopback
# alone: by root's right, or as a user may who first takes a user namespace.
network=()
for namespaces in "--net" "--user --map-current-user --keep-caps --net"; do
  # shellcheck disable=SC2206
  own=(unshare $namespaces -- sh -c 'ip link set lo up && exec "$@"' sh)
  "${own[@]}" true 2>/dev/null && network=("${own[@]}") && break
done
[ ${#network[@]} -gt 0 ] ||
  echo "serve.sh: no network namespace can be had here: mpirun listens on all addresses, see SECURITY.md" >&2

mpi=(--bind-to none --oversubscribe --mca btl_vader_backing_directory "$runtime"
  --mca orte_base_help_aggregate 1 -np "$ranks")
[ "$(id -u)" -eq 0 ] && mpi+=(--allow-run-as-root)
setsid "${network[@]}" setpriv --ambient-caps=-all --inh-caps=-all --pdeathsig TERM "$mpirun" "${mpi[@]}" "$bin/worker" "${worker_args[@]}" \
  --engine "$runtime/engine.sock" >&"$log" 2>&1 </dev/null {log}>&- &
group=$!
session=$group
exec {log}>&-

while [ ! -s "$runtime/ready" ] && kill -0 $$ 2>/dev/null; do sleep 0.05; done &
watcher=$!

# One of the two has ended. After a stop request both end by themselves; a group that never attached knows of no
# drain, and without a coordinator there is nothing to drain.
announced=no
first=
note_end() {  # coordinator or group
  if [ -z "$first" ]; then
    first=$1
    [ "$first" = coordinator ] && [ $announced = no ] && kill_group
    if [ "$first" = group ] && [ $stop_requests -eq 0 ]; then
      sleep 0.5  # for the coordinator to end the streams
      kill -TERM "$coordinator" 2>/dev/null
    fi
    if [ $stop_requests -eq 0 ] || [ "$first" = coordinator ]; then expect_end_within 5; fi
  fi
  [ "$1" = group ] && kill_group  # what mpirun has left
}

# `wait -n` passes over what ended while a command ran in the foreground.
find_ended() {
  for ended in $coordinator $group $watcher $timer; do
    kill -0 "$ended" 2>/dev/null && continue
    wait "$ended"
    rc=$?
    return 0
  done
  ended=
  return 1
}

coordinator_rc=0
group_rc=0
killed=no
while [ -n "$coordinator" ] || [ -n "$group" ]; do
  # shellcheck disable=SC2086
  find_ended || { wait -n -p ended $coordinator $group $watcher $timer; rc=$?; }
  case ${ended:-} in
    '') [ $rc -ne 127 ] || break ;;  # a signal, whose trap has run; 127: there is nobody to wait for
    "$coordinator") coordinator=; coordinator_rc=$rc; note_end coordinator ;;
    "$group") group=; group_rc=$rc; note_end group ;;
    "$watcher")
      watcher=
      announced=yes
      echo "ready $(cat "$runtime/ready")" ;;
    "$timer")
      timer=
      killed=yes
      kill_all ;;
  esac
done 2>/dev/null  # bash's own lines about killed jobs

if [ $stop_requests -gt 0 ] && [ $coordinator_rc -eq 0 ] && { [ $group_rc -eq 0 ] || [ $announced = no ]; }; then
  exit 0
fi
wait "$log_copier" "$error_finder"
echo "serve.sh: coordinator exited with $coordinator_rc, ranks with $group_rc" >&2
[ $killed = yes ] && echo "serve.sh: killed what did not end in time" >&2
[ -s "$runtime/first_error" ] && echo "serve.sh: first error: $(cat "$runtime/first_error")" >&2
if [ "$first" = coordinator ]; then codes="$coordinator_rc $group_rc"; else codes="$group_rc $coordinator_rc"; fi
for rc in $codes; do [ "$rc" -ne 0 ] && exit "$rc"; done
exit 1
