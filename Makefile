# Builds and tests with nothing but cargo and a C compiler.

CARGO_TARGET_DIR ?= target

.PHONY: chord ring test test-browser test-library figures-browser check check-chaos check-model check-sim pictures \
	fuzz paper bench growth storm instructions lessons clean

# An optimised ./chord.
chord:
	cargo build --locked --release
	cp -f $(CARGO_TARGET_DIR)/release/chord ./chord

# Five nodes on this machine, and the console of one of them; Ctrl-C ends all. PORT=5000 uses ports 5000 to 5004.
ring: chord
	@PORT="$(PORT)" sh scripts/ring.sh

# Every test.
test:
	bash scripts/test.sh

# The library's own tests as other programs build it: alone. (`make test` runs those of its features, too, and `make check`
# builds it with each.)
test-library:
	cargo test --locked --lib --no-default-features

# The page of the ring and the lessons in a real browser (Debian's chromium and chromium-driver); left out where there is
# none. The program under test is the one that the other tests run.
BROWSER = CHORD=$(abspath $(CARGO_TARGET_DIR))/debug/chord cargo test --locked --manifest-path browser/Cargo.toml \
	--target-dir $(abspath $(CARGO_TARGET_DIR))/browser
test-browser:
	cargo test --locked --no-run
	$(BROWSER)

# How fast the page draws 5, 50 and 300 nodes, and pictures of it: three minutes.
figures-browser:
	cargo test --locked --no-run
	$(BROWSER) -- --ignored --nocapture

# Tests of real processes: five minutes of random faults, two more with many nodes under load that are killed 20 times,
# and four with each node on a host of its own, if iproute2 and root are available. Prints the figures. SEED=… repeats a
# run.
check-chaos:
	CHAOS_SECONDS=$${CHAOS_SECONDS:-300} cargo test --locked --test nodes chaos:: -- --nocapture

# Formatting, lints and docs, all warnings denied; the library also as a dependency: alone, and with each feature.
check:
	cargo fmt --check
	cargo fmt --check --manifest-path browser/Cargo.toml
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --all-targets -- --deny warnings
	cargo clippy --locked --all-targets --no-default-features -- --deny warnings
	cargo clippy --locked --lib --no-default-features -- --deny warnings
	cargo clippy --locked --lib --no-default-features --features sim -- --deny warnings
	cargo clippy --locked --lib --no-default-features --features http -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --locked --no-deps

# Explores the protocol's own code exhaustively in small rings, two scopes at a time: half an hour on two
# processors, and 14 GiB.
check-model:
	cargo test --locked --release --test simulated model:: -- --ignored --nocapture --test-threads=2

# FUZZ_RUNS executions of each fuzz target, on inputs that grow in fuzz/found; needs cargo-fuzz (`cargo install
# cargo-fuzz`) and a C++ compiler, but no nightly toolchain. 10 million take 6 and 14 minutes of processor time for
# conversion and frames, and 37 for link.
FUZZ_RUNS ?= 100000
fuzz:
	cd fuzz && for target in frames:4096 conversion:4096 link:160; do \
		name=$${target%:*}; mkdir -p found/$$name; \
		cargo fuzz run --sanitizer none --no-trace-compares $$name found/$$name corpus/$$name -- \
			-runs=$(FUZZ_RUNS) -max_len=$${target#*:} -timeout=10 -rss_limit_mb=1024 || exit 1; \
	done

# 20,000 random histories of rings of 8 to 64 nodes on a virtual clock, on all processors.
check-sim: chord
	./chord sim chaos --seeds 20000 --nodes 8..64

# The evaluation of the Chord paper on this code, with its plots, into docs/paper: under 20 minutes on two
# quiet processors.
paper: chord
	./chord sim paper --out docs/paper

# Calls, lookups, forming rings and the cost of nodes, each compared with its goal and with the floor of the same run:
# half an hour on two quiet processors. Then the steps of which calls consist.
bench:
	cargo bench --locked --bench speed
	cargo bench --locked --bench layers

# The same for 16 to 2,048 nodes, as a table, and as data and a plot in docs/: five minutes.
growth:
	cargo bench --locked --bench speed -- growth $(CURDIR)/docs

# The same swarm under 0.1 to 3 times the load that it can serve, without and with a pause of its process, as a table,
# and as data and a plot (overload) in docs/: six minutes.
storm:
	cargo bench --locked --bench speed -- storm $(CURDIR)/docs

# Counts the instructions of the hot path; fails if a step needs a tenth more than its limit. Needs valgrind, and gets
# the runner of the benches from the registry. The benches need only the library and the simulator: no command is linked
# for them. The runner only starts valgrind, so that it need not be fast itself.
GUNGRAUN = $(shell cargo pkgid gungraun | sed 's/.*@//')
TOOLS = $(abspath $(CARGO_TARGET_DIR))/tools
instructions:
	CARGO_PROFILE_DEV_DEBUG=0 cargo install --debug --locked --quiet --root $(TOOLS) gungraun-runner --version $(GUNGRAUN)
	PATH="$(TOOLS)/bin:$$PATH" cargo bench --locked --no-default-features --features sim --bench instructions

# The pictures in docs/ that need no measurement: rings, simulations that are determined by their seed, and the paper's
# experiments from the data beside them.
pictures: chord
	./chord sim ring --nodes 32 --bits 16 --lookup Hello --from 65278 --draw docs/ring.svg > /dev/null
	./chord sim ring --ids docs/tour/four.ids -r 2 --show successors --draw docs/tour/successors.svg > /dev/null
	./chord sim ring --ids docs/tour/four.ids -r 2 --lookup Hello --from 6b6280c6 --draw docs/tour/fingers.svg > /dev/null
	./chord sim ring --ids docs/tour/four.ids -r 2 --show join --from b415955b --draw docs/tour/stabilize.svg > /dev/null
	./chord sim merge --plot docs/merge.svg > /dev/null
	./chord sim storm --plot docs/storm.svg > /dev/null
	./chord sim paper --redraw --out docs/paper

# The lessons in docs/lessons: small rings, recorded step by step. A second; the same on every machine.
lessons: chord
	./chord sim lessons --out docs/lessons

clean:
	cargo clean
	rm -f ./chord
