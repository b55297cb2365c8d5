#!/usr/bin/env bash
# Checks that ws-proto and its normal dependencies do no I/O, read no clock and generate no randomness.
set -euo pipefail
cd "$(dirname "$0")/.."
forbidden='tokio|mio|socket2|getrandom|async-std|polling|libc'
tree=$(cargo tree --package ws-proto --all-features --edges normal --prefix none --format '{p}' | awk '{print $1}' | sort -u)
if found=$(grep -xE "$forbidden" <<<"$tree"); then
  printf 'ws-proto must not depend on: %s\n' "$found"
  exit 1
fi
if found=$(grep -rnE 'std::(net|fs|thread|process)|Instant::now|SystemTime' ws-proto/src --include='*.rs' | grep -vE '/tests(/|\.rs)|//[/!]'); then
  printf 'ws-proto must not do I/O or read clocks:\n%s\n' "$found"
  exit 1
fi
printf 'ws-proto is pure: %s\n' "$(tr '\n' ' ' <<<"$tree")"
