#!/usr/bin/env bash
# From a bare Debian 12 to streamed answers: installs what is missing, builds a release, serves the bundled model
# from two ranks, asks it some questions and stops everything again.
set -euo pipefail
cd "$(dirname "$0")/.."

launch/setup.sh
launch/build.sh release worker coordinator phalanx

bin=$PWD/build/release/bin
runtime=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then kill -TERM "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$runtime"
}
trap finish EXIT

echo
echo "== serving launch/demo/model from mpirun -np 2 worker =="
mkfifo "$runtime/out"
launch/serve.sh --model launch/demo/model -np 2 --grpc-port 0 --port 0 --log-level warning >"$runtime/out" &
server=$!
read -r ready <"$runtime/out" || { echo "demo: the service did not start" >&2; exit 1; }
echo "$ready"
address=${ready#ready grpc=}
address=${address%% *}

ask() {
  echo
  echo "> $1"
  "$bin/phalanx" chat --server "$address" --message "$1" --temperature 0 --max-tokens "${2:-96}"
}
ask "What is 17 + 25?"
ask "What is Phalanx?"
ask "What is a rank?"
ask "Tell me a short story about a fox." 160

echo
echo "== stopping =="
kill -TERM "$server"
wait "$server" && echo "stopped cleanly" || { echo "demo: the service ended with exit code $?" >&2; server=; exit 1; }
server=
