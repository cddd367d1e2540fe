# Builds and tests with nothing but cargo and a C compiler.

CARGO_TARGET_DIR ?= target

.PHONY: chord ring test check check-sim clean

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

# 20,000 random histories of rings of 8 to 64 nodes on a virtual clock, on all processors.
check-sim: chord
	./chord sim chaos --seeds 20000 --nodes 8..64

clean:
	cargo clean
	rm -f ./chord
