#!/usr/bin/env bash
# The rules of googleapis: all are loaded and routed, and a request that was made backwards of a random message for each of
# them reaches its method with that message; a sample does so over sockets.
#
#     tests/foreign/googleapis/run.sh [--seed N] [--socket N]                 seed 1, 200 over sockets
#
# TESTEE    the program that does it (target/debug/examples/googleapis_bindings, else built there)
# The files come from npm (google-proto-files, pinned by package-lock.json) and go to target/foreign/googleapis; needed is
# npm. Rules that no request reaches: expected-failures.txt.
# Closes with one line, and exits with 1 if anything failed, or if there is another number of rules than there should be.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work="$root/target/foreign/googleapis"
mkdir -p "$work"
cd "$root"

# of the pinned package
bindings=15381

die() {
    echo "googleapis: $*" >&2
    exit 1
}

testee=${TESTEE:-}
if [ -z "$testee" ]; then
    cargo build --locked --example googleapis_bindings
    testee=$root/target/debug/examples/googleapis_bindings
fi
[ -x "$testee" ] || die "$testee is no program"

protos="$work/node_modules/google-proto-files"
if ! [ -d "$protos" ] || ! cmp -s "$here/package-lock.json" "$work/package-lock.json"; then
    rm -rf "$work/node_modules"
    cp "$here/package.json" "$here/package-lock.json" "$work/"
    (cd "$work" && timeout 600 npm ci --silent --ignore-scripts --no-audit --no-fund) || die "npm ci failed"
fi

log="$work/run.log"
code=0
timeout --kill-after=10 300 "$testee" "$protos" --expected "$here/expected-failures.txt" --socket 200 "$@" \
    >"$log" 2>&1 || code=$?
sed -n '1,200p' "$log" | cut -c1-2000
grep -q "^$bindings bindings: " "$log" || die "there should be $bindings bindings"
exit "$code"
