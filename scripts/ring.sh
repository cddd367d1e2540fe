#!/bin/sh
# Five nodes on this machine that form a ring, and the console of the last of them.
# The ports are PORT (4170 unless set) to PORT + 4.
set -eu

# BASE is its former name.
base=${PORT:-${BASE:-4170}}
case $base in
'' | *[!0-9]*)
    echo "make ring: PORT is \"$base\": it takes a number from 1 to 65531" >&2
    exit 2
    ;;
esac
flags="-a 127.0.0.1 --ts 1000 --tff 1000 --tcp 1000 -r 4"
ports="$base $((base + 1)) $((base + 2)) $((base + 3)) $((base + 4))"
nodes=

end() {
    trap - EXIT INT TERM HUP
    # Kill each node by its process ID; one may have ended already.
    for node in $nodes; do kill "$node" 2>/dev/null || true; done
    wait
}
trap end EXIT
trap 'end; exit 0' INT TERM HUP

# A node that is told to quit at once shows whether its port is free.
taken=
for port in $ports; do
    if ! why=$(echo Quit | ./chord $flags -p "$port" 2>&1 >/dev/null); then
        case $why in
        *"in use"*) taken="$taken $port" ;;
        *)
            echo "$why" >&2
            exit 1
            ;;
        esac
    fi
done
if [ -n "$taken" ]; then
    other=$((base + 10))
    [ "$other" -le 65531 ] || other=4170
    echo "make ring: taken by other programs, perhaps by another make ring: port$taken." \
        "Choose others, like $other to $((other + 4)): make ring PORT=$other" >&2
    exit 1
fi

./chord $flags -p "$base" </dev/null >/dev/null &
nodes=$!
for port in $((base + 1)) $((base + 2)) $((base + 3)); do
    ./chord $flags -p "$port" --ja 127.0.0.1 --jp "$base" </dev/null >/dev/null &
    nodes="$nodes $!"
done
echo "Five nodes at 127.0.0.1, ports $base to $((base + 4)); this is the console of the last."
echo "Try: Lookup Hello, PrintState, Help. Ctrl-C ends all of them."
./chord $flags -p $((base + 4)) --ja 127.0.0.1 --jp "$base"
