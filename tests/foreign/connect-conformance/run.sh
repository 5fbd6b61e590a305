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
# PARALLEL     calls at once (8): waiting cases overlap, and two busy cores still keep their times
#
# Needs Go 1.26 or newer and Python 3.9 or newer. The suite is built into target/foreign/go; logs are in
# target/foreign/connect-conformance. Prints a table for each upstream (README.md has it) and closing lines, and exits
# with 1 unless all that fails is what expected-failures.UPSTREAM.txt names, and all of that fails.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=prepare.sh
. "$here/prepare.sh"

conf=whole upstreams=(grpc-go reference) runner=()
while [ $# -gt 0 ]; do
    case "$1" in
    --conf)
        conf=${2:?small or whole}
        shift 2
        ;;
    --upstream)
        upstreams=("${2:?grpc-go, reference or both}")
        [ "$2" != both ] || upstreams=(grpc-go reference)
        shift 2
        ;;
    --)
        shift
        runner=("$@")
        break
        ;;
    *) die "unknown argument $1" ;;
    esac
done
[ -f "$here/edge-$conf.yaml" ] || die "--conf is small or whole, not $conf"

declare -A commands=([grpc-go]="$bin/grpcserver -port 0" [reference]="$bin/referenceserver -port 0")
for upstream in "${upstreams[@]}"; do
    command=${commands[$upstream]:-}
    [ -n "$command" ] || die "--upstream is grpc-go, reference or both, not $upstream"
    echo "=== $conf before $upstream"
    run "connect-$upstream" server "edge-$conf.yaml" "expected-failures.$upstream.txt" \
        edge_adapter.py --upstream "$command"
done
close connect-conformance
