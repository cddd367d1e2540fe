#!/usr/bin/env bash
# Every test: those on a virtual clock, which keep processors busy, beside those of real processes, which wait most of the
# time, and go first. Rings of processes run one at a time, and each test that waits for its turn takes a thread: so
# there are four.
set -euo pipefail
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-4}

cargo test --locked --no-run
log=$(mktemp)
set -m
nice cargo test --locked --test simulated >"$log" 2>&1 &
simulated=$!
set +m
trap 'kill -- "-$simulated" 2>/dev/null || true; rm -f "$log"' EXIT
cargo test --locked --lib --bins --test nodes
wait "$simulated" || { cat "$log"; exit 1; }
cat "$log"
cargo test --locked --doc
