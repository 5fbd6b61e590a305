#!/usr/bin/env bash
# Protobuf's own conformance runner against the transcoder: binary and JSON, required and recommended cases.
#
#     tests/foreign/protobuf-conformance/run.sh
#
# TESTEE    the program to examine (target/debug/examples/conformance_testee, else built there)
# The runner comes from PyPI (requirements.txt) and goes to target/foreign/protobuf-conformance; needed are Python 3.9 or
# later with venv, and a C compiler where glibc is older than 2.38. Cases that may fail: expected-failures.txt.
# Closes with one line, and exits with 1 if anything failed, or if another number of cases was run than there are.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work="$root/target/foreign/protobuf-conformance"
mkdir -p "$work"
cd "$root"

# how many cases the pinned runner has for what we ask of it
cases=5649
options=(--enforce_recommended --maximum_edition 2023)

die() {
    echo "protobuf-conformance: $*" >&2
    exit 1
}

testee=${TESTEE:-}
if [ -z "$testee" ]; then
    cargo build --locked --example conformance_testee
    testee=$root/target/debug/examples/conformance_testee
fi
[ -x "$testee" ] || die "$testee is no program"

prepare_runner() {
    local python="$work/venv/bin/python"
    if ! [ -x "$python" ] || ! cmp -s "$here/requirements.txt" "$work/venv/requirements.txt"; then
        rm -rf "$work/venv"
        python3 -m venv "$work/venv"
        timeout 600 "$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" ||
            die "pip install failed"
        cp "$here/requirements.txt" "$work/venv/requirements.txt"
    fi
    runner=$("$python" -c 'import os, protoc; print(os.path.dirname(protoc.__file__))')/_bin/conformance_test_runner
    preload=
    if grep -q 'not found (required' <<<"$("$runner" --help 2>&1 || true)"; then
        "$python" "$here/older_glibc.py" "$runner" "$work/runner" GLIBC_2.38 GLIBCXX_3.4.32
        cc -O2 -shared -fPIC -fno-builtin -o "$work/older_glibc.so" "$here/older_glibc.c" -lstdc++
        runner=$work/runner
        preload=$work/older_glibc.so
    fi
    # what is loaded before the runner is not for the testee
    printf '#!/bin/sh\nexec env -u LD_PRELOAD "%s"\n' "$testee" >"$work/testee.sh"
    chmod +x "$work/testee.sh"
}

prepare_runner
log=$work/run.log
code=0
env ${preload:+LD_PRELOAD="$preload"} timeout --kill-after=10 600 "$runner" "${options[@]}" \
    --failure_list "$here/expected-failures.txt" --output_dir "$work" "$work/testee.sh" >"$log" 2>&1 || code=$?

grep -E '^ +(Required|Recommended)\.|^conformance_testee: ' "$log" | cut -c1-300 || true
# The text format has a suite of its own, all of which is skipped: the edge does not speak it.
result=$(grep -E '^CONFORMANCE SUITE ' "$log" | head -1)
count() { sed -nE "s/.*[ :]([0-9]+) $1.*/\1/p" <<<"$result"; }
passed=$(count successes) skipped=$(count skipped) expected=$(count 'expected failures') failed=$(count 'unexpected failures')
[ -n "$passed" ] && [ -n "$failed" ] || { tail -20 "$log" >&2; die "the runner did not end (exit code $code)"; }

if [ $((passed + skipped + expected + failed)) -ne "$cases" ]; then
    echo "FAIL there are $cases cases, and the runner counts: $result"
    failed=$((failed + 1))
fi
if ! grep -q '^conformance_testee: .*slow path: 0$' "$log"; then
    echo "FAIL the testee does not say that its slow path was never taken"
    failed=$((failed + 1))
fi
[ "$code" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "protobuf-conformance: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
