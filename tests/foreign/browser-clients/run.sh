#!/usr/bin/env bash
# Browsers' client libraries in headless Chromium against the edge, from a page of another origin: grpc-web, protobuf-ts,
# nice-grpc-web, connect-web; and its own EventSource.
#
#     tests/foreign/browser-clients/run.sh [--client NAME] [--case NAME]      all, or those with NAME in their name
#
# TRANSOM    the binary (target/release/transom, else target/quick/transom)
# CHROMIUM   the browser (/usr/bin/chromium)
# What has to be installed for it goes to target/foreign; Chromium is installed by apt-get if it is missing.
# Closes with `browser-clients: N passed, N failed`, and exits with 1 if anything failed that is not listed in
# expected-failures.txt, or if something listed there passed.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
suites=(browser-clients)
. "$here/edge.sh"
suite="$here/browser-clients"
modules="$work/browser-clients"
mkdir -p "$modules"

prepare_modules() {
    command -v npm >/dev/null || apt_install nodejs npm
    if ! cmp -s "$suite/package-lock.json" "$modules/node_modules/installed.json"; then
        cp "$suite/package.json" "$suite/package-lock.json" "$suite/.npmrc" "$modules/"
        (cd "$modules" && timeout 600 npm ci --silent --ignore-scripts --no-audit --no-fund) || die "npm ci failed"
        cp "$suite/package-lock.json" "$modules/node_modules/installed.json"
    fi
    # modules are looked for beside the script
    cp "$suite"/*.js "$suite"/*.mjs "$modules/"
}

# What the edge has beyond the calls themselves; each has its cases.
features=(--compression --websocket)

chromium=${CHROMIUM:-/usr/bin/chromium}
[ -x "$chromium" ] || apt_install chromium
[ -x "$chromium" ] || die "no browser at $chromium"
prepare_python
prepare_modules
certificate

# run.mjs starts the servers, since the edges have to be told the page's origin, and ends them.
PYTHONDONTWRITEBYTECODE=1 CHROMIUM="$chromium" timeout --kill-after=10 300 node "$modules/run.mjs" \
    --transom "$transom" --python "$work/venv/bin/python" --suite "$suite" --work "$modules" \
    --cert "$work/cert.pem" --key "$work/key.pem" "${features[@]}" "$@"
