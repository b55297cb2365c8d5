# The commands of this project, for people and for CI. `just` lists them.

default:
    @just --list --unsorted

# All tests.
test:
    cargo test --workspace
    cargo test -p ws-cluster --all-features

# Formats all code.
fmt:
    cargo fmt --all

fmt-check:
    cargo fmt --all --check

# Lints; a warning is an error.
lint:
    cargo clippy --workspace --all-targets --quiet -- -D warnings

# Lints and tests the crates with some or all features off. A build of the whole workspace always has them on.
features:
    cargo clippy -p ws-proto --all-targets --quiet -- -D warnings
    cargo clippy -p ws-proto --no-default-features --quiet -- -D warnings
    cargo clippy -p ws-proto --features deflate --all-targets --quiet -- -D warnings
    cargo clippy -p ws-simulation --all-targets --quiet -- -D warnings
    cargo clippy -p ws-server -p ws-client --all-targets --quiet -- -D warnings
    cargo clippy -p ws-server --features tls-core --all-targets --quiet -- -D warnings
    cargo clippy -p ws-client --features tls-core,tls-platform-roots --all-targets --quiet -- -D warnings
    cargo clippy -p ws-client --features http2 --all-targets --quiet -- -D warnings
    cargo clippy -p ws-hyper --quiet -- -D warnings
    cargo clippy -p ws-hyper --no-default-features --features http2 --quiet -- -D warnings
    cargo clippy -p ws-hyper --features axum --quiet -- -D warnings
    cargo clippy -p ws-hyper --features adopt --quiet -- -D warnings
    cargo clippy -p ws-hyper --no-default-features --features http2,adopt,axum --quiet -- -D warnings
    cargo clippy -p ws-cluster --features redis --all-targets --quiet -- -D warnings
    cargo clippy -p ws-cluster --features nats --all-targets --quiet -- -D warnings
    cargo clippy -p ws-cluster --all-targets --quiet -- -D warnings
    cargo test -p ws-proto -p ws-client --quiet
    cargo test -p ws-client --features http2 --test http2 --quiet
    cargo test -p ws-simulation --quiet

# Documentation; a warning is an error. Checks that the front pages stay short.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    RUSTDOCFLAGS="-D warnings" cargo doc -p ws-proto -p ws-tokio -p ws-server -p ws-client -p ws-hyper -p ws-cluster --all-features --no-deps --quiet
    python3 .ci/front_pages.py

# Checks that the modules of each crate import only modules below them.
rooms:
    python3 .ci/rooms.py

# Checks that ws-proto does no I/O and depends on nothing that does.
purity:
    bash .ci/purity.sh

# The Autobahn Testsuite without its slow cases: 247 cases, both directions, both server APIs, and through axum.
autobahn-quick:
    bash autobahn/run.sh server quick
    bash autobahn/run.sh client quick
    bash autobahn/run.sh axum quick

# The same, only through axum.
autobahn-axum:
    bash autobahn/run.sh axum quick

# The same with its slow cases, 301 in all: large messages and many small ones.
autobahn-full:
    bash autobahn/run.sh server full
    bash autobahn/run.sh client full

# The same with compression, all 517 cases. Takes more than an hour.
autobahn-deflate:
    bash autobahn/run.sh server full --deflate
    bash autobahn/run.sh client full --deflate

# Checks that what the documents point to exists.
links:
    python3 .ci/links.py

# Checks that every test that SECURITY.md names exists.
promises:
    bash .ci/promises.sh

# Checks licences, sources and known vulnerabilities of all dependencies.
deny:
    bash .ci/deny.sh

# Checks ws-proto for a 32-bit target. Also runs its tests if the linker supports it (Debian: gcc-multilib).
check-32-bit:
    rustup target add i686-unknown-linux-gnu
    cargo check -p ws-proto --features deflate --target i686-unknown-linux-gnu --quiet
    if echo 'int main(void) { return 0; }' | cc -m32 -x c -o /dev/null - 2>/dev/null; then \
        cargo test -p ws-proto --features deflate --target i686-unknown-linux-gnu --lib --quiet; fi

# Lints the crates for Windows and macOS.
check-platforms:
    bash .ci/platforms.sh

# Builds everything with the oldest Rust version that is supported.
msrv:
    bash .ci/msrv.sh

# Builds the packages that would be published, and compiles the crates from them. Uncommitted changes are included.
package:
    bash .ci/package.sh

# Writes the public API of each crate to docs/api. Needs a nightly compiler and cargo-public-api.
public-api:
    bash .ci/public-api.sh write

# Compares the public API with docs/api.
public-api-check:
    bash .ci/public-api.sh check

# Looks for changes that break users. It compares with the last published version, so CI does not run it before the
# first release. Needs cargo-semver-checks.
semver-checks:
    cargo semver-checks -p ws-proto -p ws-tokio -p ws-server -p ws-client -p ws-simulation -p ws-hyper -p ws-cluster --all-features

# Masking, buffers, queues and text under Miri, which finds undefined behaviour. Needs a nightly compiler with Miri.
miri:
    MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4 cargo +nightly miri test -p ws-proto --lib -- \
        budget:: buffer:: control_queue:: frame:: mask::tests message:: utf8:: \
        --skip connection::

# Attacks and faults at full scale, in release mode. Prints the table; with --write, also puts it into docs/attacks.md.
attacks *ARGS:
    bash e2e-tests/attacks.sh {{ARGS}}

# Drains servers of CONNECTIONS over SECONDS, with clients in another process, and prints how many closed per second.
drain CONNECTIONS='10000' SECONDS='60':
    cargo run --release --quiet -p e2e-tests --example drain -- {{CONNECTIONS}} {{SECONDS}}

# Runs the fuzz targets on the inputs in fuzz/corpus, on the stable compiler.
fuzz-replay:
    cargo test --manifest-path fuzz/Cargo.toml --quiet

# Looks for new inputs, SECONDS per target, in all targets or in those named. Needs a nightly compiler and cargo-fuzz.
fuzz SECONDS='60' *TARGETS:
    bash fuzz/run.sh {{SECONDS}} {{TARGETS}}

# Simulates SEEDS connections with network and clock, each from a seed of its own. `--from SEED` sets the first seed.
simulate SEEDS='1000000' *OPTIONS:
    cargo run --release --quiet -p ws-simulation --features deflate --example simulate -- --seeds {{SEEDS}} {{OPTIONS}}

# Repeats one of them and prints all its steps.
simulate-seed SEED *OPTIONS:
    cargo run --release --quiet -p ws-simulation --features deflate --example simulate -- --seed {{SEED}} {{OPTIONS}}

# Makes the pictures of the chat in docs/images. Needs node and Chromium; Inter and Noto Color Emoji make them pretty.
chat-screenshots:
    cargo build --release --quiet --bin chat-server
    node ws-examples/tests/browser/screenshots.mjs "${CARGO_TARGET_DIR:-target}/release/chat-server" docs/images

# Makes the pictures of the dashboard in docs/images, which takes a minute. Needs the same.
dashboard-screenshots:
    cargo build --release --quiet --bin dashboard
    node ws-examples/tests/browser/dashboard_screenshots.mjs "${CARGO_TARGET_DIR:-target}/release/dashboard" docs/images

# Installs the peers that the interoperation tests talk to.
peers:
    bash e2e-tests/peers/setup.sh

# Compiles the benchmark, which is a workspace of its own.
bench-check:
    cargo check --manifest-path bench/Cargo.toml --workspace --quiet

# Measures speed and memory beside other libraries; see bench/README.md.
bench *ARGS:
    bash bench/run.sh {{ARGS}}

# Counts the instructions per message of the hot paths and fails if one grew by more than 5 %. `--write` updates the table
# in e2e-tests/instructions. Needs valgrind.
instructions *ARGS:
    cargo run --release --quiet -p instructions -- {{ARGS}}

# What CI runs.
ci:
    bash .ci/run
