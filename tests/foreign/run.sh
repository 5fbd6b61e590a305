#!/usr/bin/env bash
# Foreign clients against the edge: grpcio, grpc-js, grpcurl, curl, WebSocket clients, and browsers' in Chromium.
#
#     tests/foreign/run.sh [SUITE ...]          SUITE: grpcio grpc-js websocket web browser; all of them if none is named
#
# TRANSOM    the binary (target/release/transom, else target/quick/transom)
# CHROMIUM   the browser (/usr/bin/chromium)
# What has to be installed for it goes to target/foreign; Chromium is installed by apt-get if it is missing.
# Closes with one line a suite, and exits with 1 if anything failed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
suites=("$@")
. "$here/edge.sh"
default_suites grpcio grpc-js websocket web browser

prepare_chromium() {
    chromium=${CHROMIUM:-/usr/bin/chromium}
    [ -x "$chromium" ] || apt_install chromium
    [ -x "$chromium" ] || die "no browser at $chromium"
}

if wanted grpcio || wanted web; then prepare_python; fi
if wanted grpc-js || wanted websocket || wanted browser; then prepare_node; fi
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

export PYTHONDONTWRITEBYTECODE=1
python="$work/venv/bin/python"
cert="$work/cert.pem"
suite grpcio "$python" "$here/python/suite.py" \
    --h2c "$demo" --tls "$tls" --root "$cert" --down "$down" --protos protos
suite grpc-js node "$work/node/grpc_js.mjs" \
    --h2c "$demo" --tls "$tls" --root "$cert" --down "$down" --protos protos
suite websocket node "$work/node/websocket.mjs" --h2c "$demo" --tls "$tls" --root "$cert" --protos protos
suite web "$python" "$here/python/rest_and_web.py" \
    --clear "$demo" --tls "$tls" --root "$cert" --down "$down" --protos protos --grpcurl "$work/venv/bin/grpcurl"
suite browser env CHROMIUM="${chromium:-}" node "$work/node/browser.mjs" \
    --page "http://$demo" --cross-origin "https://$tls" --screenshots "$root/target/screenshots"

drain drain
conclude
