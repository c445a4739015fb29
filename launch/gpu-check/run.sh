# Part of launch/gpu-check.sh: how a stage runs, is timed, skipped, interrupted and remembered.
#
# raw/STAGE.stage holds state=, seconds=, reason= and a command= for each program; raw/STAGE.log what they printed.

child=    # the program that runs now
service=  # a server that it started
current=  # its stage
failures=()
unfinished=no  # whether time ran out before all stages had their turn

slug() { tr '[:upper:]' '[:lower:]' | sed 's/nvidia//; s/[^a-z0-9]\{1,\}/-/g; s/^-//; s/-$//'; }

gpu_name() {
  local name
  [ "$device" = cuda ] || { echo emulated; return; }
  name=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | head -n 1)
  [ -n "$name" ] || name=$(sed -n 's/^Model:[[:space:]]*//p' /proc/driver/nvidia/gpus/*/information 2>/dev/null | head -n 1)
  echo "${name:-no-gpu}"
}

commit() { cat "$root/COMMIT" 2>/dev/null || git -C "$root" describe --always --dirty 2>/dev/null || echo unknown; }

# Today's run of this GPU and commit that has not ended, else a new one; for stages by name the latest, ended or not.
run_folder() {
  local base n=1 folder next
  base=$root/bench/results/$(gpu_name | slug)-$(date +%F)
  folder=$base
  while [ -e "$folder/raw/facts.json" ]; do
    n=$((n + 1))
    next=$base-$n
    if grep -qF "\"commit\":\"$(commit)\"" "$folder/raw/facts.json"; then
      [ -e "$folder/raw/complete" ] || break
      [ ${#stages[@]} -eq 0 ] || [ -e "$next" ] || break
    fi
    folder=$next
  done
  echo "$folder"
}

state_of() { sed -n 's/^state=//p' "$raw/$1.stage" 2>/dev/null; }

# skip REASON: ends a stage that cannot run here.
skip() {
  reason=$*
  return 77
}
# note TEXT: what a stage that goes on has to say.
note() { reason=${reason:+$reason; }$*; }

# start OUTPUT SECONDS COMMAND...: at most so long and no longer than the stage has; standard output is appended to
# OUTPUT, errors to the log.
start() {
  local out=$1 limit=$2 left=$((stage_limit - (SECONDS - stage_began))) rc
  shift 2
  [ "$limit" -le "$left" ] || limit=$left
  if [ "$limit" -le 0 ]; then
    note "no time was left for ${1##*/}"
    return 124
  fi
  printf 'command=%s\n' "$(printf '%q ' "$@" | tr '\n' ' ')" >>"$raw/$current.stage"
  echo "+ $*" >>"$raw/$current.log"
  timeout --kill-after=5 "$limit" "$@" </dev/null >>"$out" 2>>"$raw/$current.log" &
  child=$!
  wait "$child"
  rc=$?
  child=
  return $rc
}
# run SECONDS COMMAND...: all it prints goes to the log.
run() { start "$raw/$current.log" "$@"; }
# save SECONDS FILE COMMAND...: raw/FILE is what it prints, there once the command has ended.
save() {
  local limit=$1 file=$raw/$2 rc
  shift 2
  rm -f "$file.part"
  start "$file.part" "$limit" "$@"
  rc=$?
  mv "$file.part" "$file" 2>/dev/null
  return $rc
}

# ranks N: the launcher of N ranks on this host, as the words of `launcher`.
ranks() {
  launcher=("$mpirun" --bind-to none --oversubscribe -np "$1")
  [ "$(id -u)" -ne 0 ] || launcher+=(--allow-run-as-root)
}

# The last line of a stage's log that says something: mpirun's own words follow those of a rank that failed.
last_words() {
  grep -av '^+ \|^ *-*$\|^Run with --help\|^the job to be terminated\|Process name:\|Exit code:' "$raw/$1.log" 2>/dev/null |
    grep -av '^mpirun \|^Primary job\|a non-zero exit code\|^MPI_ABORT was invoked\|^with errorcode\|^NOTE: invoking' |
    tail -n 1 | cut -c 1-300
}

run_stage() {
  current=$1
  if [ "$named" -eq 0 ] && [ "$(state_of "$current")" = passed ]; then
    echo "gpu-check: $current: passed before"
    return
  fi
  if [ "$SECONDS" -ge "$time_limit" ]; then
    printf 'state=skipped\nreason=%s s had passed, allowed: %s (--time-limit)\n' "$SECONDS" "$time_limit" >"$raw/$current.stage"
    echo "gpu-check: $current: skipped: out of time"
    unfinished=yes
    return
  fi
  reason=
  : >"$raw/$current.log"
  printf 'state=running\n' >"$raw/$current.stage"
  stage_began=$SECONDS
  stage_limit=$((time_limit - SECONDS))
  local began rc state
  began=$(date +%s.%N)
  if [ -n "$no_gpu" ] && [ "$current" != facts ] && [ "$current" != host ]; then
    skip "$no_gpu"
    rc=$?
  else
    "stage_$current"
    rc=$?
  fi
  case $rc in
    0) state=passed ;;
    77) state=skipped ;;
    124 | 137) state=timeout; unfinished=yes ;;
    *) state=failed ;;
  esac
  if [ $state = failed ] || [ $state = timeout ]; then
    failures+=("$current")
    [ -n "$reason" ] || reason=$(last_words "$current")
    reason="exit code $rc: $reason"
  fi
  {
    printf 'state=%s\n' "$state"
    printf 'seconds=%s\n' "$(awk "BEGIN { printf \"%.1f\", $(date +%s.%N) - $began }")"
    printf 'reason=%s\n' "$(printf '%s' "$reason" | tr '\n' ' ' | cut -c 1-500)"
    grep '^command=' "$raw/$current.stage"
  } >"$raw/$current.stage.part"
  mv "$raw/$current.stage.part" "$raw/$current.stage"
  echo "gpu-check: $current: $state$([ -n "$reason" ] && printf ': %s' "$reason" | cut -c 1-200)"
}

write_report() {
  "$bin/gpu_report" --run "$output"
  local rc=$?
  echo "gpu-check: $SECONDS s; report: $output/report.html"
  [ ${#failures[@]} -eq 0 ] || { echo "gpu-check: failed: ${failures[*]}" >&2; exit 1; }
  exit $rc
}

interrupt() {
  trap '' INT TERM HUP
  [ -z "$child" ] || { kill -TERM "$child" 2>/dev/null; wait "$child"; }
  [ -z "$service" ] || { kill -TERM "$service" 2>/dev/null; wait "$service"; }
  echo "gpu-check: interrupted in $current; the same command goes on from there" >&2
  "$bin/gpu_report" --run "$output" >/dev/null 2>&1
  exit 130
}
