#!/usr/bin/env bash
# Runs every attack at full scale, one after another, and prints the measured cost beside its bound.
#
# usage: attacks.sh [--write]      --write also replaces the table in docs/attacks.md
# Exits with 1 if a bound is broken or a row is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

write=
case "${1:-}" in
  '') ;;
  --write) write=yes ;;
  *) echo "usage: attacks.sh [--write]" >&2; exit 2 ;;
esac

# The number of rows that the table must have.
readonly rows=44

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cargo test --release --quiet -p e2e-tests --test attacks --no-run
binary=$(cargo test --release -p e2e-tests --test attacks --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))/\1/p')
# The path is relative in the default target folder and absolute if CARGO_TARGET_DIR points elsewhere.
[[ $binary == /* ]] || binary=$PWD/$binary

status=0
export WS_ATTACKS=full WS_ATTACKS_GO_ON=1 WS_ATTACKS_TABLE=$work/table
# Each run has a single test. The harness starts it in its own process.
for attack in $(cd e2e-tests && "$binary" --list | sed -n 's/^\(rows::.*\): test$/\1/p'); do
  printf '%s\n' "$attack" >&2
  if ! (cd e2e-tests && "$binary" --exact "$attack" --nocapture) >"$work/log" 2>&1; then
    status=1
    printf 'failed: %s\n' "$attack" >&2
    tail -40 "$work/log" >&2
  fi
done

{
  printf '| # | attack or fault | measured | bound | held |\n|--:|---|---|---|---|\n'
  sort -t "$(printf '\t')" -k 1,1n -s "$work/table" | sed 's/ *\t/ | /g; s/^/| /; s/ *$/ |/'
} >"$work/markdown"
cat "$work/markdown"

for row in $(seq "$rows"); do
  if ! grep -q "^$row"$'\t' "$work/table"; then
    status=1
    printf 'no line for row %s\n' "$row" >&2
  fi
done
if grep -q $'\tNO$' "$work/table"; then
  status=1
  echo 'a bound is broken' >&2
fi

if [ -n "$write" ]; then
  awk -v table="$work/markdown" '
    /^<!-- \/attacks -->$/ { print ""; skip = 0 }
    !skip { print }
    /^<!-- attacks -->$/ { print ""; while ((getline line < table) > 0) print line; skip = 1 }
  ' docs/attacks.md >"$work/document"
  cp "$work/document" docs/attacks.md
fi
exit "$status"
