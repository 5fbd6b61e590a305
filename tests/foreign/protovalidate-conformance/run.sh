#!/usr/bin/env bash
# protovalidate's own conformance runner against the catalog's loader and the schema guard: standard rules, CEL, predefined.
#
#     tests/foreign/protovalidate-conformance/run.sh [--suite REGEX] [--case REGEX]
#
# TESTEE    the program to examine (target/debug/examples/validate_testee, else built there)
# The runner is a Go module (go.mod, go.sum) and goes to target/foreign/go; needed is Go 1.26 or newer. Messages have to be
# worded as the suite has them, and errors of compiling told from those of running. Cases that may fail:
# expected-failures.yaml. Closes with one line, and exits with 1 if anything failed, or if another number of cases was run
# than there are.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work="$root/target/foreign/protovalidate-conformance"
runner="$root/target/foreign/go/protovalidate-conformance"
mkdir -p "$work" "$(dirname "$runner")"
cd "$root"

# how many cases the pinned runner has
cases=2872
[ $# -eq 0 ] || cases=

die() {
    echo "protovalidate-conformance: $*" >&2
    exit 1
}

testee=${TESTEE:-}
if [ -z "$testee" ]; then
    cargo build --locked --example validate_testee
    testee=$root/target/debug/examples/validate_testee
fi
[ -x "$testee" ] || die "$testee is no program"

if ! [ -x "$runner" ] || ! cmp -s "$here/go.sum" "$runner.sum"; then
    command -v go >/dev/null || die "go (1.26 or newer) is missing"
    (cd "$here" && GOFLAGS='-mod=readonly -buildvcs=false' timeout 900 go build -o "$runner" \
        github.com/bufbuild/protovalidate/tools/protovalidate-conformance) || die "the runner does not build"
    cp "$here/go.sum" "$runner.sum"
fi

log=$work/run.log
code=0
timeout --kill-after=10 600 "$runner" --strict_message --strict_error --timeout 60s \
    --expected_failures "$here/expected-failures.yaml" "$@" "$testee" >"$log" 2>&1 || code=$?

# failures only: the runner prints the suites that have some, and a line that sums up
grep -vE '^(PASS|FAIL) ' "$log" | head -200 || true
result=$(grep -E '^(PASS|FAIL) \(failed: ' "$log" | tail -1)
count() { sed -nE "s/.*$1: ([0-9]+).*/\1/p" <<<"$result"; }
passed=$(count passed) skipped=$(count skipped) failed=$(count failed) total=$(count total)
[ -n "$passed" ] && [ -n "$failed" ] || { tail -20 "$log" >&2; die "the runner did not end (exit code $code)"; }

if [ -n "$cases" ] && [ "$total" -ne "$cases" ]; then
    echo "FAIL there are $cases cases, and the runner counts: $result"
    failed=$((failed + 1))
fi
[ "$skipped" -eq 0 ] || echo "expected failures: $skipped"
[ "$code" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "protovalidate-conformance: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
