#!/usr/bin/env bash
# Greedy tokens with their log-probabilities, one a line: examples/tokens.sh HOST:PORT "What is 2 + 3?"
set -euo pipefail
phalanx=${PHALANX_BIN_DIR:-$(dirname "$0")/../build/release/bin}/phalanx
"$phalanx" generate --server "$1" --prompt "$2" --temperature 0 --max-tokens 16 --logprobs 0 --json |
  python3 -c 'import json, sys
for token in json.load(sys.stdin)["logprobs"]:
    print(token["token_id"], round(token["logprob"], 4), repr(token["token"]))'
