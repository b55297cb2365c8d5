#!/usr/bin/env bash
# Fuzzes each target for so many seconds (default 60), and keeps what covers most in fuzz/corpus.
#   bash fuzz/run.sh [SECONDS [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
targets=${*:-$(sed -n 's/^    ("\([a-z_]*\)", .*/\1/p' fuzz/src/lib.rs)}
cargo +nightly fuzz build --features fuzzing
for target in $targets; do
    printf '=== %s\n' "$target"
    kept=fuzz/corpus/$target found=fuzz/target/found/$target least=fuzz/target/least
    rm -rf "$least"
    mkdir -p "$found" "$least"
    cargo +nightly fuzz run "$target" --features fuzzing "$found" "$kept" -- \
        "-max_total_time=$seconds" -max_len=16384 -verbosity=0
    # What covers the most in the fewest and smallest files; of those, the small ones.
    cargo +nightly fuzz run "$target" --features fuzzing "$least" "$kept" "$found" -- \
        -set_cover_merge=1 -max_len=2048 -verbosity=0
    cp "$least"/* "$kept/"
done
