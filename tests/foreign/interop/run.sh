#!/usr/bin/env bash
# gRPC's published interop cases (grpc's doc/interop-test-descriptions.md) with the edge between client and server.
#
#     tests/foreign/interop/run.sh [SUITE ...]  SUITE: c-core go java grpc-js, by their clients; all if none is named
#
# TRANSOM    the binary (target/release/transom, else target/quick/transom)
# Every case is called over h2c and over TLS. What has to be installed for it goes to target/foreign. grpc-go's server
# has no flag for its address: for as long as this runs it listens on all of them.
# Closes with one line a suite, and exits with 1 if anything failed.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
suites=("$@")
. "$here/edge.sh"
default_suites c-core go java grpc-js

go_version=v1.85.0
go_bin="$work/interop/grpc-go-$go_version"
java_lib="$work/interop/java"
protos="$work/interop/protos"
python="$work/venv/bin/python"
cert="$work/cert.pem"
export PYTHONDONTWRITEBYTECODE=1

# what a case may take; the slowest, pick_first_unary of Java, takes 7 s
case_limit=60
# the soak cases: enough calls to outlive one flow-control window, and patience with a busy machine
soak=(soak_iterations=50 soak_per_iteration_max_acceptable_latency_ms=10000 soak_overall_timeout_seconds=50)
# reads the load reports of the orca cases
load_balancer='{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}'

go_cases=(
    empty_unary large_unary client_streaming server_streaming ping_pong empty_stream timeout_on_sleeping_server
    cancel_after_begin cancel_after_first_response status_code_and_message special_status_message custom_metadata
    unimplemented_method unimplemented_service pick_first_unary orca_per_rpc orca_oob rpc_soak channel_soak
)
compression_cases=(
    client_compressed_unary client_compressed_unary_noprobe server_compressed_unary client_compressed_streaming
    client_compressed_streaming_noprobe server_compressed_streaming
)
java_cases=("${go_cases[@]}" "${compression_cases[@]}" cacheable_unary very_large_request)
# what the node server answers
node_cases=(
    "${compression_cases[@]}" cacheable_unary empty_unary large_unary very_large_request client_streaming server_streaming
    unimplemented_method unimplemented_service rpc_soak channel_soak
)

# === what is needed

prepare_go() {
    command -v go >/dev/null || die "Go 1.21 or newer is missing"
    [ ! -x "$go_bin/client" ] || [ ! -x "$go_bin/server" ] || return 0
    GOBIN="$go_bin" GOFLAGS=-buildvcs=false timeout 900 go install \
        "google.golang.org/grpc/interop/client@$go_version" "google.golang.org/grpc/interop/server@$go_version" \
        >"$work/go.log" 2>&1 || { tail -5 "$work/go.log" >&2; die "go install failed"; }
}

# The schema comes from grpc-java's jar for every suite.
prepare_java() {
    local jars jar
    command -v java >/dev/null && command -v mvn >/dev/null || apt_install default-jre-headless maven
    if ! cmp -s "$here/interop/pom.xml" "$java_lib/pom.xml"; then
        rm -rf "$java_lib" "$work/interop/java.jsa"
        timeout 900 mvn --quiet --batch-mode --file "$here/interop/pom.xml" -Dmaven.repo.local="$work/interop/maven" \
            dependency:copy-dependencies -DoutputDirectory="$java_lib" >"$work/maven.log" 2>&1 ||
            { tail -5 "$work/maven.log" >&2; die "maven failed"; }
        cp "$here/interop/pom.xml" "$java_lib/pom.xml"
    fi
    rm -rf "$protos"
    mkdir -p "$protos"
    cp -r "$here/interop/protos/." "$protos/"
    jars=("$java_lib"/grpc-interop-testing-*.jar)
    jar=${jars[0]}
    "$python" -m zipfile -e "$jar" "$work/interop/unpacked" && cp -r "$work/interop/unpacked/grpc" "$protos/"
    rm -rf "$work/interop/unpacked"
}

trust_store() {
    rm -f "$work/interop/trust.p12"
    keytool -importcert -noprompt -alias edge -file "$cert" -storetype PKCS12 -storepass transom \
        -keystore "$work/interop/trust.p12" >"$work/keytool.log" 2>&1 || die "keytool failed: see $work/keytool.log"
}

jvm() {
    exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Djavax.net.ssl.trustStore="$work/interop/trust.p12" \
        -Djavax.net.ssl.trustStorePassword=transom -cp "$java_lib/*" "$@"
}

# One JVM a case: it has to start fast. The first one leaves an archive of its classes for those that follow.
java_client() {
    local archive="$work/interop/java.jsa" classes
    classes=(-XX:SharedArchiveFile="$archive" -Xshare:auto)
    [ -f "$archive" ] || classes=(-XX:ArchiveClassesAtExit="$archive")
    jvm "${classes[@]}" -Xlog:disable -Xlog:all=error:stderr io.grpc.testing.integration.TestServiceClient "$@"
}

# === servers, each with two edges before it

# A port below those that the system hands out by itself.
free_port() {
    local port tries
    for ((tries = 0; tries < 50; tries++)); do
        port=$((20000 + RANDOM % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    die "no port is free"
}

run_server() {
    case $1 in
        c-core) exec "$python" "$here/interop/c_core.py" --protos "$protos" server ;;
        go) exec env GRPC_GO_LOG_SEVERITY_LEVEL=info "$go_bin/server" -port=0 ;;
        java) jvm io.grpc.testing.integration.TestServiceServer --port="$2" --use_tls=false --address_type=IPV4 ;;
        node) exec node "$work/node/interop_server.mjs" --protos "$protos" ;;
    esac
}

declare -A h2c=() tls=()
# before NAME: starts the server of this name and its edges, unless they run; their addresses: h2c[NAME] and tls[NAME]
before() {
    local name=$1 log="$work/interop-$1.log" port="" pid tries upstream
    [ -z "${h2c[$name]:-}" ] || return 0
    port=$(free_port)
    : >"$log"
    run_server "$name" "$port" >>"$log" 2>&1 &
    pid=$!
    servers+=("$pid")
    upstream=
    for ((tries = 0; tries < 600 && ${#upstream} == 0; tries++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
        upstream=$(sed -nE 's/.*(listening on .*:|started on port )([0-9]+)$/\2/p' "$log" | head -1)
    done
    [ -n "$upstream" ] || { cat "$log" >&2; die "the server $name does not listen"; }
    # what is not settled by flags
    set --
    [ ! -f "$here/interop/$name.yaml" ] || set -- "$here/interop/$name.yaml"
    set -- "$@" --listen 127.0.0.1:0 --upstream "h2c://127.0.0.1:$upstream" --proto-path "$protos" --max-message-size 16MiB
    start "interop-$name-h2c" serve "$@"
    h2c[$name]=$address
    start "interop-$name-tls" serve "$@" --tls-cert "$cert" --tls-key "$work/key.pem"
    tls[$name]=$address
}

# === clients that call one case a process

# call CLIENT TRANSPORT ADDRESS CASE
call() {
    local client=$1 transport=$2 address=$3 case=$4 flags
    flags=(--server_host="${address%:*}" --server_port="${address##*:}" --test_case="$case")
    case $case in
        orca_*) flags+=(--service_config_json="$load_balancer") ;;
        *_soak) flags+=("${soak[@]/#/--}") ;;
    esac
    case $client in
        go)
            [ "$transport" = h2c ] ||
                flags+=(--use_tls --use_test_ca --ca_file="$cert" --server_host_override=localhost)
            exec "$go_bin/client" "${flags[@]}"
            ;;
        java)
            if [ "$transport" = h2c ]; then
                flags+=(--use_tls=false)
            else
                flags+=(--use_tls=true --server_host_override=localhost)
            fi
            java_client "${flags[@]}"
            ;;
    esac
}

left_out() {
    grep -qE "^$1 +$2 +$3 " "$here/interop/left_out.txt"
}

passed=0 refused=0
# one_case CLIENT SERVER TRANSPORT ADDRESS CASE: prints a line, and what the client said when it failed
one_case() {
    local what="interop-$1: $2 server, $3: $5" log="$work/interop-case.log" pid watch begin=$EPOCHREALTIME
    call "$1" "$3" "$4" "$5" >"$log" 2>&1 </dev/null &
    pid=$!
    (sleep "$case_limit" && kill -KILL "$pid") >/dev/null 2>&1 &
    watch=$!
    if wait "$pid"; then
        passed=$((passed + 1))
        echo "ok   $what ($(((${EPOCHREALTIME/./} - ${begin/./}) / 1000)) ms)"
    else
        refused=$((refused + 1))
        failed=1
        echo "FAIL $what"
        # not a stack trace's frames
        grep -vE '^[[:space:]]+at ' "$log" | tail -12 | sed 's/^/     /'
    fi
    kill "$watch" 2>/dev/null || true
    wait "$watch" 2>/dev/null || true
}

# cases CLIENT SERVER CASE...: over both transports
cases() {
    local client=$1 server=$2 case
    shift 2
    before "$server"
    for case in "$@"; do
        left_out "$client" "$server" "$case" && continue
        one_case "$client" "$server" h2c "${h2c[$server]}" "$case"
        one_case "$client" "$server" TLS "${tls[$server]}" "$case"
    done
}

# by_case NAME: the suite of this client, whose runs `NAME_suite` lists
by_case() {
    wanted "$1" || return 0
    echo "=== $1"
    passed=0 refused=0
    "$1_suite"
    lines+=("interop-$1: $passed passed, $refused failed")
    echo "${lines[-1]}"
}

go_suite() {
    cases go go "${go_cases[@]}"
    cases go java "${go_cases[@]}"
}

java_suite() {
    cases java java "${java_cases[@]}"
    cases java node "${node_cases[@]}"
    cases java go "${go_cases[@]}"
}

# === run

timed() {
    local begin=$SECONDS
    "$@"
    times+=("$(printf '%4d s  %s' $((SECONDS - begin)) "$*")")
}
times=()

prepare_all() {
    # also for the protos
    prepare_python
    prepare_java
    if wanted go || wanted java || wanted grpc-js; then prepare_go; fi
    if wanted grpc-js || wanted java; then prepare_node; fi
    certificate
    trust_store
}

c_core() {
    wanted c-core || return 0
    before c-core
    suite c-core "$python" "$here/interop/c_core.py" --protos "$protos" client \
        --h2c "${h2c[c-core]}" --tls "${tls[c-core]}" --root "$cert"
}

grpc_js() {
    local server behind=()
    wanted grpc-js || return 0
    for server in c-core go java; do
        before "$server"
        behind+=("$server=${h2c[$server]},${tls[$server]}")
    done
    suite grpc-js node "$work/node/interop_grpc_js.mjs" --protos "$protos" --root "$cert" \
        --left-out "$here/interop/left_out.txt" "${behind[@]}"
}

timed prepare_all
timed c_core
timed by_case go
timed by_case java
timed grpc_js
timed drain interop-drain

printf '%s\n' "${times[@]}"
conclude
