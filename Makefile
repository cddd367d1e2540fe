# Builds and tests with nothing but cargo and a C compiler.

CARGO_TARGET_DIR ?= target

.PHONY: chord ring test check check-model clean

# An optimised ./chord.
chord:
	cargo build --locked --release
	cp -f $(CARGO_TARGET_DIR)/release/chord ./chord

# Five nodes on this machine, and the console of one of them; Ctrl-C ends all.
ring: chord
	@sh scripts/ring.sh

# Every test.
test:
	cargo test --locked

# Formatting, lints and docs, all warnings denied.
check:
	cargo fmt --check
	cargo clippy --locked --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps

# The protocol's own code explored exhaustively in small rings: about 25 minutes and 14 GiB.
check-model:
	cargo test --locked --release --test model -- --ignored --nocapture --test-threads=1

clean:
	cargo clean
	rm -f ./chord
