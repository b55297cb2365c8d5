#!/usr/bin/env bash
# Checks that every test that SECURITY.md names exists.
set -euo pipefail
cd "$(dirname "$0")/.."
missing=0
# The names of tests are in the last column of the tables, in backticks.
names=$(sed -n '/^## What is promised/,/^## The worst case/p' SECURITY.md | grep '^|' | sed 's/ |$//; s/.*|//' | grep -o '`[a-z0-9_]*`' | tr -d '`' | sort -u)
for name in $names; do
  if ! grep -rqE "fn $name\b|mod $name;" --include='*.rs' ws-* addons e2e-tests fuzz; then
    echo "SECURITY.md names a test that does not exist: $name"
    missing=1
  fi
done
[ "$missing" = 0 ] && printf '%s tests, all exist\n' "$(wc -w <<<"$names")"
exit "$missing"
