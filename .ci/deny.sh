#!/usr/bin/env bash
# Checks licences, sources and bans of all dependencies. Also checks known vulnerabilities if the advisory database
# can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo deny --log-level error check --hide-inclusion-graph bans licenses sources
if timeout 60 cargo deny --log-level off fetch db 2>/dev/null; then
  cargo deny --log-level error check --hide-inclusion-graph advisories
else
  echo 'the advisory database cannot be reached: advisories were not checked'
fi
