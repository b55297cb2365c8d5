#!/usr/bin/env bash
# Fuzzes the named targets, or all of them, for SECONDS each (default 60) and prints a table of the results.
# A target without findings gets a new corpus in fuzz/corpus: the fewest and smallest inputs with the same coverage.
# Findings go to fuzz/artifacts, and the exit status is then 1.
#   bash fuzz/run.sh [SECONDS [TARGET...]]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
all=$(sed -n 's/^    ("\([a-z_]*\)", .*/\1/p' fuzz/src/lib.rs)
targets=${*:-$all}
for target in $targets; do
    grep -qx "$target" <<<"$all" || { printf 'no target %s; there are:\n%s\n' "$target" "$all" >&2; exit 2; }
done
cargo +nightly fuzz build --features fuzzing

# The longest input that a target makes use of.
longest() {
    case $1 in
    frame_header) echo 64 ;;
    extensions | envelope) echo 1024 ;;
    request_head | response_head) echo 9000 ;;
    operations | encode | workload) echo 4096 ;;
    *) echo 16384 ;;
    esac
}

# The maximum number of inputs in a target's corpus.
most=300

count() { find "$1" -type f | wc -l; }

fuzz() { cargo +nightly fuzz run "$target" --features fuzzing "$@"; }

# Writes the fewest and smallest inputs with the same coverage to $least.
minimise() {
    rm -rf "$least"
    mkdir -p "$least"
    fuzz "$least" "$kept" "$found" -- -set_cover_merge=1 -max_len=2048 -timeout=10 -verbosity=0 "$@"
}

# Replaces the target's corpus.
keep() {
    minimise
    if [ "$(count "$least")" -gt "$most" ]; then
        # Keep the inputs that are needed to reach everything once. Fill up with inputs that reach it more often.
        rm -rf "$least.more"
        mv "$least" "$least.more"
        minimise -use_counters=0
        local room=$((most - $(count "$least")))
        [ "$room" -le 0 ] || find "$least.more" -type f | sort | head -n "$room" | xargs -I '{}' cp '{}' "$least/"
    fi
    rm -f "$kept"/*
    cp "$least"/* "$kept/"
}

table='' status=0
for target in $targets; do
    printf '=== %s\n' "$target"
    kept=fuzz/corpus/$target found=fuzz/target/found/$target least=fuzz/target/least/$target
    artifacts=fuzz/artifacts/$target log=fuzz/target/$target.log
    mkdir -p "$kept" "$found" "$artifacts"
    known=$(count "$artifacts") before=$(count "$found")
    fuzz "$found" "$kept" -- "-max_total_time=$seconds" "-max_len=$(longest "$target")" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 2>&1 | tee "$log" || true
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    new=$(($(count "$found") - before)) findings=$(($(count "$artifacts") - known))
    # A target that does not start is a finding too.
    [ -n "$executions" ] || findings=$((findings + 1))
    if [ "$findings" = 0 ]; then
        keep
    else
        status=1
    fi
    table+="$target ${executions:--} $new $(count "$kept") $findings"$'\n'
done
printf '%-30s %12s %8s %6s %9s\n' target executions new kept findings
while read -r target executions new kept findings; do
    printf '%-30s %12s %8s %6s %9s\n' "$target" "$executions" "$new" "$kept" "$findings"
done <<<"${table%$'\n'}"
exit "$status"
