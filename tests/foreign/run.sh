#!/usr/bin/env bash
# Foreign clients against the edge: grpcio, grpc-js, grpcurl, curl, and browsers' clients in Chromium.
#
#     tests/foreign/run.sh [SUITE ...]          SUITE: grpcio grpc-js web browser; all of them if none is named
#
# TRANSOM    the binary (target/release/transom, else target/quick/transom)
# CHROMIUM   the browser (/usr/bin/chromium)
# What has to be installed for it goes to target/foreign; Chromium is installed by apt-get if it is missing.
# Closes with one line a suite, and exits with 1 if anything failed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work="$root/target/foreign"
mkdir -p "$work"
cd "$root"

die() {
    echo "tests/foreign: $*" >&2
    exit 1
}

# === what is needed

transom=${TRANSOM:-}
if [ -z "$transom" ]; then
    for candidate in target/release/transom target/quick/transom; do
        if [ -x "$candidate" ]; then
            transom=$root/$candidate
            break
        fi
    done
fi
[ -x "$transom" ] || die "build the edge first: cargo build --release (or name it by TRANSOM)"

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(grpcio grpc-js web browser)

wanted() {
    local suite
    for suite in "${suites[@]}"; do
        [ "$suite" = "$1" ] && return 0
    done
    return 1
}

apt_install() {
    command -v apt-get >/dev/null || die "$1 is missing"
    timeout 300 apt-get update -q >"$work/apt.log" 2>&1 || true
    DEBIAN_FRONTEND=noninteractive timeout 600 apt-get install -q -y --no-install-recommends "$@" >>"$work/apt.log" 2>&1 ||
        { tail -5 "$work/apt.log" >&2; die "apt-get install $* failed"; }
}

prepare_python() {
    local python="$work/venv/bin/python"
    if [ -x "$python" ] && cmp -s "$here/python/requirements.txt" "$work/venv/requirements.txt"; then return; fi
    rm -rf "$work/venv"
    python3 -m venv "$work/venv" 2>/dev/null || { apt_install python3 python3-venv && python3 -m venv "$work/venv"; }
    timeout 600 "$python" -m pip install --quiet --disable-pip-version-check -r "$here/python/requirements.txt" ||
        die "pip install failed"
    cp "$here/python/requirements.txt" "$work/venv/requirements.txt"
}

prepare_node() {
    command -v npm >/dev/null || apt_install nodejs npm
    mkdir -p "$work/node"
    if ! cmp -s "$here/node/package-lock.json" "$work/node/node_modules/installed.json"; then
        cp "$here/node/package.json" "$here/node/package-lock.json" "$here/node/.npmrc" "$work/node/"
        (cd "$work/node" && timeout 600 npm ci --silent --ignore-scripts --no-audit --no-fund) || die "npm ci failed"
        cp "$here/node/package-lock.json" "$work/node/node_modules/installed.json"
    fi
    # modules are looked for beside the script
    cp "$here"/node/*.mjs "$work/node/"
}

prepare_chromium() {
    chromium=${CHROMIUM:-/usr/bin/chromium}
    [ -x "$chromium" ] || apt_install chromium
    [ -x "$chromium" ] || die "no browser at $chromium"
}

# === servers

pids=()
cleanup() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap cleanup EXIT

# start NAME ARGUMENT...: starts the edge, and sets `address` once it listens
start() {
    local name=$1 log="$work/$1.log" pid tries
    shift
    # emptied here, not by the server's redirection: that may come after the first look
    : >"$log"
    "$transom" "$@" >>"$log" 2>&1 &
    pid=$!
    pids+=("$pid")
    for ((tries = 0; tries < 200; tries++)); do
        # a whole line, with its end
        if grep -q '^listening on .*' "$log" && [ "$(tail -c 1 "$log" | wc -l)" -eq 1 ]; then
            address=$(sed -n 's/^listening on //p' "$log" | head -1)
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    cat "$log" >&2
    die "$name does not listen"
}

certificate() {
    command -v openssl >/dev/null || apt_install openssl
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
}

# === run

if wanted grpcio || wanted web; then prepare_python; fi
if wanted grpc-js || wanted browser; then prepare_node; fi
if wanted browser; then prepare_chromium; fi
if wanted web; then command -v curl >/dev/null || apt_install curl; fi
certificate

start demo demo --listen 127.0.0.1:0
demo=$address
config=
for ((tries = 0; tries < 100 && ${#config} == 0; tries++)); do
    config=$(sed -n 's/^ *Configuration: //p' "$work/demo.log" | head -1)
    [ -n "$config" ] || sleep 0.05
done
[ -f "$config" ] || die "the demo does not say where its configuration is"
start tls serve "$config" --listen 127.0.0.1:0 --tls-cert "$work/cert.pem" --tls-key "$work/key.pem" \
    --cors-origin "http://$demo"
tls=$address
# port 9 of loopback (discard): nobody listens there
start down serve --listen 127.0.0.1:0 --upstream h2c://127.0.0.1:9 --proto-path protos --proto helloworld.proto
down=$address

failed=0
lines=()
# suite NAME COMMAND...: runs one suite for at most five minutes and keeps its closing line
suite() {
    local name=$1 log="$work/$1.suite.log" line
    shift
    wanted "$name" || return 0
    echo "=== $name"
    if ! timeout --kill-after=10 300 "$@" 2>&1 | tee "$log"; then failed=1; fi
    line=$(grep -E '^[a-z0-9-]+: [0-9]+ passed, [0-9]+ failed$' "$log" | tail -1 || true)
    if [ -z "$line" ]; then
        line="$name: 0 passed, 1 failed"
        failed=1
    fi
    lines+=("$line")
}

export PYTHONDONTWRITEBYTECODE=1
python="$work/venv/bin/python"
cert="$work/cert.pem"
suite grpcio "$python" "$here/python/suite.py" \
    --h2c "$demo" --tls "$tls" --root "$cert" --down "$down" --protos protos
suite grpc-js node "$work/node/grpc_js.mjs" \
    --h2c "$demo" --tls "$tls" --root "$cert" --down "$down" --protos protos
suite web "$python" "$here/python/rest_and_web.py" \
    --clear "$demo" --tls "$tls" --root "$cert" --down "$down" --protos protos --grpcurl "$work/venv/bin/grpcurl"
suite browser env CHROMIUM="${chromium:-}" node "$work/node/browser.mjs" \
    --page "http://$demo" --cross-origin "https://$tls" --screenshots "$root/target/screenshots"

# Every server has to end by itself, with exit code 0.
passed=0 unclean=0
for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
for pid in "${pids[@]}"; do
    code=0
    wait "$pid" || code=$?
    if [ "$code" -eq 0 ]; then
        passed=$((passed + 1))
    else
        unclean=$((unclean + 1))
        failed=1
        echo "FAIL drain: a server ended with exit code $code after SIGTERM"
    fi
done
pids=()
lines+=("drain: $passed passed, $unclean failed")

echo "==="
printf '%s\n' "${lines[@]}"
exit "$failed"
