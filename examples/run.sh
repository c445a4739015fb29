#!/usr/bin/env bash
# Serves the bundled model and runs every example against it; fails where one does not answer.
set -euo pipefail
cd "$(dirname "$0")/.."
launch/build.sh release worker coordinator phalanx example_generate
bin=$PWD/build/release/bin

venv=build/examples-venv
[ -x $venv/bin/python ] || python3 -m venv $venv
$venv/bin/pip install --quiet -r examples/requirements.txt

work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill -TERM "$server"; wait "$server" || true; fi; rm -rf "$work"' EXIT
mkfifo "$work/out"
launch/serve.sh --model launch/demo/model -np 2 --grpc-port 0 --port 0 --log-level warning >"$work/out" &
server=$!
read -r ready <"$work/out"
address=${ready#ready grpc=}
address=${address%% *}

answers() {
  local name=$1
  shift
  "$@" | tee "$work/answer"
  [ "$(wc -c <"$work/answer")" -gt 3 ] || { echo "examples: $name gave no answer" >&2; exit 1; }
}
answers C++ "$bin/example_generate" "$address" "Once upon a time, there was a little fox named Zoe."
answers Python $venv/bin/python examples/chat.py "$address" "What is a rank?"
answers shell examples/tokens.sh "$address" "What is 12 + 30?"
