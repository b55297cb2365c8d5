# The verbs of this project, for people and for CI alike. `just` lists them.

default:
    @just --list --unsorted

# All tests; the README's own command.
test:
    cargo test --workspace

# Format.
fmt:
    cargo fmt --all

fmt-check:
    cargo fmt --all --check

# Lints, without warnings.
lint:
    cargo clippy --workspace --all-targets --quiet -- -D warnings

# The crates as they are built without some or all of their features, which the workspace as a whole never is.
features:
    cargo clippy -p ws-proto --all-targets --quiet -- -D warnings
    cargo clippy -p ws-proto --features testing --all-targets --quiet -- -D warnings
    cargo clippy -p ws-proto --features testing,deflate --all-targets --quiet -- -D warnings
    cargo clippy -p ws-server -p ws-client --all-targets --quiet -- -D warnings
    cargo clippy -p ws-server --features tls-core --all-targets --quiet -- -D warnings
    cargo clippy -p ws-client --features tls-core,tls-platform-roots --all-targets --quiet -- -D warnings
    cargo test -p ws-proto -p ws-client --quiet
    cargo test -p ws-proto --features testing --doc --quiet

# Documentation, without warnings.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
    RUSTDOCFLAGS="-D warnings" cargo doc -p ws-proto --all-features --no-deps --quiet

# ws-proto does no I/O: nothing that could is among its dependencies.
purity:
    bash .ci/purity.sh

# The Autobahn Testsuite without its slow parts, 247 cases, both directions and both APIs.
autobahn-quick:
    bash autobahn/run.sh server quick
    bash autobahn/run.sh client quick

# With its slow parts, 301 cases: large messages and many small ones.
autobahn-full:
    bash autobahn/run.sh server full
    bash autobahn/run.sh client full

# And with compression, all 517 cases: an hour and more.
autobahn-deflate:
    bash autobahn/run.sh server full --deflate
    bash autobahn/run.sh client full --deflate

# Every test that SECURITY.md names is there.
promises:
    bash .ci/promises.sh

# Licences and sources of all dependencies, and known vulnerabilities.
deny:
    bash .ci/deny.sh

# ws-proto on a machine of 32 bits; its tests run there too, where the linker can (Debian: gcc-multilib).
check-32-bit:
    rustup target add i686-unknown-linux-gnu
    cargo check -p ws-proto --features deflate --target i686-unknown-linux-gnu --quiet
    if echo 'int main(void) { return 0; }' | cc -m32 -x c -o /dev/null - 2>/dev/null; then \
        cargo test -p ws-proto --features deflate --target i686-unknown-linux-gnu --lib --quiet; fi

# Masking, buffers, queues and text under Miri, which finds undefined behaviour; needs a nightly compiler with it.
miri:
    MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4 cargo +nightly miri test -p ws-proto --lib -- \
        budget:: buffer:: control_queue:: frame:: mask::tests message:: utf8:: \
        --skip connection:: --skip testing::

# Attacks and faults at full scale, in release mode. Prints the table; with --write, also puts it into docs/attacks.md.
attacks *ARGS:
    bash e2e-tests/attacks.sh {{ARGS}}

# The inputs that fuzzing kept, on the stable compiler.
fuzz-replay:
    cargo test --manifest-path fuzz/Cargo.toml --quiet

# Looks for new ones, so many seconds for each target, or for those that are named; needs a nightly compiler and cargo-fuzz.
fuzz SECONDS='60' *TARGETS:
    bash fuzz/run.sh {{SECONDS}} {{TARGETS}}

# So many simulated connections, network and clock included, each from a seed of its own; `--from SEED` goes on behind those.
simulate SEEDS='1000000' *OPTIONS:
    cargo run --release --quiet -p ws-proto --features deflate,testing --example simulate -- --seeds {{SEEDS}} {{OPTIONS}}

# One of them, with all its steps.
simulate-seed SEED *OPTIONS:
    cargo run --release --quiet -p ws-proto --features deflate,testing --example simulate -- --seed {{SEED}} {{OPTIONS}}

# The peers that the interoperation tests talk to.
peers:
    bash e2e-tests/peers/setup.sh

# Speed and memory beside other libraries; see bench/README.md.
bench *ARGS:
    bash bench/run.sh {{ARGS}}

# What CI runs.
ci:
    bash .ci/run
