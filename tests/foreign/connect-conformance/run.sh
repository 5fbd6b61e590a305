#!/usr/bin/env bash
# The Connect conformance suite (connectrpc.com/conformance) with the edge between its clients and a server of gRPC alone.
#
#     tests/foreign/connect-conformance/run.sh [--conf small|whole] [--upstream grpc-go|reference|both] [-- ARGUMENT ...]
#
# --conf       what of the suite: `small` in ten seconds, `whole` (the default) is everything but HTTP/3
# --upstream   the server behind the edge: grpc-go's (protobuf, identity and gzip only: the edge has to translate all else),
#              the suite's own (every codec and compression), or both, one after the other (the default)
# ARGUMENT     for the runner, as in: -- --run 'Timeouts/**' --trace
# TRANSOM      the binary (target/release/transom, else target/quick/transom)
# PARALLEL     calls at once (4): enough that waiting cases overlap, few enough that two cores keep their times
#
# Needs Go 1.26 or newer and Python 3.9 or newer. The suite is built into target/foreign/go; logs are in
# target/foreign/connect-conformance. Prints a table for each upstream (README.md has it) and closing lines, and exits
# with 1 unless all that fails is what expected-failures.UPSTREAM.txt names, and all of that fails.
set -euo pipefail

version=v1.0.6 # v1.0.7 needs a module that the public Go proxy does not serve
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work="$root/target/foreign/connect-conformance"
bin="$root/target/foreign/go"
cd "$root"

die() {
    echo "tests/foreign/connect-conformance: $*" >&2
    exit 1
}

# === arguments

conf=whole upstreams=(grpc-go reference)
while [ $# -gt 0 ]; do
    case "$1" in
    --conf)
        conf=${2:?small or whole}
        shift 2
        ;;
    --upstream)
        upstreams=("${2:?grpc-go, reference or both}")
        [ "$2" = both ] && upstreams=(grpc-go reference)
        shift 2
        ;;
    --)
        shift
        break
        ;;
    *) die "unknown argument $1" ;;
    esac
done
[ -f "$here/edge-$conf.yaml" ] || die "--conf is small or whole, not $conf"
for upstream in "${upstreams[@]}"; do
    [ -f "$here/expected-failures.$upstream.txt" ] || die "--upstream is grpc-go, reference or both, not $upstream"
done

# === what is needed

transom=${TRANSOM:-}
for candidate in "$root/target/release/transom" "$root/target/quick/transom"; do
    [ -z "$transom" ] && [ -x "$candidate" ] && transom=$candidate
done
[ -x "$transom" ] || die "build the edge first: cargo build --release (or name it by TRANSOM)"
command -v python3 >/dev/null || die "python3 is missing"
command -v go >/dev/null || die "go (1.26 or newer) is missing"

suite=connectrpc.com/conformance
stamp="$bin/connect-conformance.version"
if [ "$(cat "$stamp" 2>/dev/null)" != "$version" ] || [ ! -d "$bin/conformance-protos" ]; then
    mkdir -p "$bin"
    rm -f "$stamp"
    for command in connectconformance grpcserver referenceserver; do
        GOBIN="$bin" timeout 900 go install "$suite/cmd/$command@$version" || die "go install $command@$version failed"
    done
    rm -rf "$bin/conformance-protos"
    cp -r "$(go env GOMODCACHE)/$suite@$version/proto" "$bin/conformance-protos"
    chmod -R u+w "$bin/conformance-protos"
    echo "$version" >"$stamp"
fi

# === run

declare -A commands=([grpc-go]="$bin/grpcserver -port 0" [reference]="$bin/referenceserver -port 0")
failed=0 passed_all=0 failed_all=0
lines=()
for upstream in "${upstreams[@]}"; do
    echo "=== $conf before $upstream"
    logs="$work/$upstream"
    rm -rf "$logs"
    mkdir -p "$logs"
    # the runner's own exit code adds nothing: the log says which cases it ran, and how they ended
    timeout --kill-after=10 900 "$bin/connectconformance" --mode server --conf "$here/edge-$conf.yaml" --vv \
        --max-servers 1 --parallel "${PARALLEL:-4}" --known-failing "@$here/expected-failures.$upstream.txt" "$@" -- \
        python3 "$here/edge_adapter.py" --edge "$transom" --upstream "${commands[$upstream]}" \
        --protos "$bin/conformance-protos" --work "$logs" >"$logs/runner.log" 2>&1 || true
    grep -q '^Total cases: ' "$logs/runner.log" || {
        tail -5 "$logs/runner.log" >&2
        echo "the runner did not come to its end: $logs/runner.log" >>"$logs/unclean"
    }
    python3 "$here/summarize.py" "connect-$upstream" "$logs/runner.log" "$logs/unclean" | tee "$logs/summary.txt" || failed=1
    line=$(tail -1 "$logs/summary.txt")
    lines+=("$line")
    [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed ]] || die "no closing line for $upstream"
    passed_all=$((passed_all + BASH_REMATCH[1])) failed_all=$((failed_all + BASH_REMATCH[2]))
done

echo "==="
printf '%s\n' "${lines[@]}" "connect-conformance: $passed_all passed, $failed_all failed"
exit "$failed"
