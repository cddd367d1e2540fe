#!/bin/sh
# Five nodes on this machine that form a ring, and the console of the last of them.
# The ports are BASE (4170 unless set) to BASE + 4.
set -eu

base=${BASE:-4170}
flags="-a 127.0.0.1 --ts 1000 --tff 1000 --tcp 1000 -r 4"
nodes=

end() {
    trap - EXIT INT TERM
    # Each is ended by its own number; one may have ended by itself.
    for node in $nodes; do kill "$node" 2>/dev/null || true; done
    wait
}
trap end EXIT
trap 'end; exit 0' INT TERM

./chord $flags -p "$base" </dev/null >/dev/null &
nodes=$!
for port in $((base + 1)) $((base + 2)) $((base + 3)); do
    ./chord $flags -p "$port" --ja 127.0.0.1 --jp "$base" </dev/null >/dev/null &
    nodes="$nodes $!"
done
echo "Five nodes at 127.0.0.1, ports $base to $((base + 4)); this is the console of the last."
echo "Try: Lookup Hello, PrintState, Help. Ctrl-C ends all of them."
./chord $flags -p $((base + 4)) --ja 127.0.0.1 --jp "$base"
