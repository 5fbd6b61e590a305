#!/usr/bin/env bash
# The other side of the suite: the edge between its client and its servers of gRPC, which misbehave on purpose (no status,
# cut messages, wrong content types, HTTP codes, resets). The client speaks gRPC, gRPC-Web and Connect, one after the
# other, and has to see what a client of gRPC would.
#
#     tests/foreign/connect-conformance/client.sh [--protocol grpc|grpc-web|connect] [-- ARGUMENT ...]
#
# ARGUMENT, TRANSOM, PARALLEL, what is needed and the exit code: as of run.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=prepare.sh
. "$here/prepare.sh"

protocols=(grpc grpc-web connect) runner=()
while [ $# -gt 0 ]; do
    case "$1" in
    --protocol)
        protocols=("${2:?grpc, grpc-web or connect}")
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

for protocol in "${protocols[@]}"; do
    echo "=== misbehaving servers, told in $protocol"
    run "connect-client-$protocol" client client.yaml expected-failures.client.txt \
        client_adapter.py --protocol "$protocol" --client "$bin/referenceclient -p ${PARALLEL:-8}"
done
close connect-client
