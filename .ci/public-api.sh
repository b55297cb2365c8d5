#!/usr/bin/env bash
# public-api.sh write: writes the public API of each crate, with all features, to docs/api/CRATE.txt.
# public-api.sh check: compares it with these files. Skips if there are none.
# Needs a nightly compiler, for rustdoc's JSON, and cargo-public-api. Skips without the compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=$1
if [ "$mode" = check ] && ! compgen -G 'docs/api/*.txt' >/dev/null; then
  echo 'docs/api has no files yet: skipped'
  exit 0
fi
if ! cargo +nightly --version >/dev/null 2>&1; then
  echo 'no nightly compiler: skipped'
  exit 0
fi
command -v cargo-public-api >/dev/null || cargo install cargo-public-api --locked --quiet
texts=$(mktemp -d)
trap 'rm -rf "$texts"' EXIT
for crate in ws-proto ws-tokio ws-server ws-client; do
  # -sss leaves out the implementations that the compiler and the derives make.
  cargo +nightly public-api -p "$crate" --all-features -sss 2>"$texts/log" >"$texts/unsorted" ||
    { cat "$texts/log"; exit 1; }
  # Sorted, so that code that moves to another file changes nothing. Each line has its whole path.
  LC_ALL=C sort -u "$texts/unsorted" >"$texts/$crate.txt"
done
rm "$texts/log" "$texts/unsorted"
if [ "$mode" = write ]; then
  mkdir -p docs/api
  cp "$texts"/*.txt docs/api/
  wc -l docs/api/*.txt
elif ! diff -r docs/api "$texts"; then
  echo 'the public API has changed: review the difference, then run `just public-api`'
  exit 1
fi
