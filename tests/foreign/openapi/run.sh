#!/usr/bin/env bash
# What `transom openapi` says, judged by others: two validators look at the documents of the demo's bookstore and of services
# of googleapis, and schemathesis calls the demo by the first of them, with good data and with bad.
#
#     tests/foreign/openapi/run.sh [validators | schemathesis]...       default: both
#
# TRANSOM   the edge (target/release/transom, else target/quick/transom)
# EXAMPLES  cases for each operation that schemathesis makes up, beside those it always tries (default 25)
# What has to be installed goes to target/foreign/openapi (requirements.txt, package-lock.json); needed are Python 3.9 or
# later with venv, and Node.js. What schemathesis is told besides is in hooks.py and schemathesis.toml.
# Closes with one line for each suite, and exits with 1 if anything failed.
set -euo pipefail

own=$(cd "$(dirname "$0")" && pwd)
here=$(dirname "$own")
suites=("$@")
# shellcheck source=tests/foreign/edge.sh
source "$here/edge.sh"
default_suites validators schemathesis

place="$work/openapi"
mkdir -p "$place"

if ! [ -x "$place/venv/bin/python" ] || ! cmp -s "$own/requirements.txt" "$place/venv/requirements.txt"; then
    rm -rf "$place/venv"
    python3 -m venv "$place/venv" 2>/dev/null || { apt_install python3 python3-venv && python3 -m venv "$place/venv"; }
    timeout 600 "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$own/requirements.txt" ||
        die "pip install failed"
    cp "$own/requirements.txt" "$place/venv/requirements.txt"
fi

prepare_modules() {
    command -v npm >/dev/null || apt_install nodejs npm
    if ! cmp -s "$own/package-lock.json" "$place/node_modules/installed.json"; then
        cp "$own/package.json" "$own/package-lock.json" "$own/.npmrc" "$place/"
        (cd "$place" && timeout 600 npm ci --silent --ignore-scripts --no-audit --no-fund) || die "npm ci failed"
        cp "$own/package-lock.json" "$place/node_modules/installed.json"
    fi
    cp "$own/validate.mjs" "$place/"
}

# document NAME FLAG...: what the edge says of a catalog
document() {
    local name=$1
    shift
    timeout 120 "$transom" openapi "$@" >"$place/$name.json" 2>"$place/$name.log" || {
        tail -5 "$place/$name.log" >&2
        die "no document of $name"
    }
}

bookstore=(--proto-path protos --proto bookstore.proto)

validators() {
    local passed=0 failed=0 name google=$place/node_modules/google-proto-files
    local -A services=(
        [pubsub]=google/pubsub/v1/pubsub.proto
        [kms]=google/cloud/kms/v1/service.proto
        [tasks]=google/cloud/tasks/v2/cloudtasks.proto
        [dlp]=google/privacy/dlp/v2/dlp.proto
        [compute]=google/cloud/compute/v1/compute.proto
    )
    document bookstore "${bookstore[@]}"
    document bookstore-methods "${bookstore[@]}" --include-methods --server https://api.example
    document demo catalogs/demo.yaml --include-methods
    document validate catalogs/validate.yaml
    for name in "${!services[@]}"; do
        document "$name" --proto-path "$google" --proto "$google/${services[$name]}" --conflicts report
    done
    for name in bookstore bookstore-methods demo validate "${!services[@]}"; do
        if timeout 120 "$place/venv/bin/openapi-spec-validator" "$place/$name.json" >"$place/validator.log" 2>&1; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "FAIL openapi-spec-validator $name: $(head -c 600 "$place/validator.log")"
        fi
        if (cd "$place" && timeout 120 node validate.mjs "$name.json"); then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
        fi
    done
    echo "validators: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

# call MODE FLAG...: schemathesis against the demo; what it found is printed
call() {
    local mode=$1 log="$place/schemathesis-$1.log"
    shift
    echo "--- schemathesis, $mode data"
    (
        cd "$place" # it leaves things where it is called
        export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$own SCHEMATHESIS_HOOKS=hooks NO_COLOR=1
        timeout --kill-after=10 200 venv/bin/schemathesis --config-file "$own/schemathesis.toml" run bookstore.json \
            --url "http://$address" --mode "$mode" --seed 1 --max-examples "${EXAMPLES:-25}" \
            --phases examples,coverage,fuzzing --request-timeout 10 --generation-database none "$@"
    ) >"$log" 2>&1 && code=0 || code=$?
    grep -E '^ *[0-9]+ generated' "$log" || true
    if [ "$code" -ne 0 ]; then
        grep -E '^- |Invalid component|^\[|^ *curl ' "$log" | cut -c1-400 | head -60 || true
        tail -5 "$log"
    fi
    local found total
    total=$(sed -nE 's/^ *([0-9]+) generated.*/\1/p' "$log" | tail -1)
    found=$(sed -nE 's/.* ([0-9]+) unique failures?.*/\1/p' "$log" | tail -1)
    [ "$code" -eq 0 ] || [ -n "$found" ] || found=1
    bad=$((bad + ${found:-0}))
    good=$((good + ${total:-0} - ${found:-0}))
}

calls() {
    good=0 bad=0
    document bookstore "${bookstore[@]}"
    export SERVICE=1
    call positive
    unset SERVICE
    # watching goes on for as long as `count` says, and bad data knows no measure
    call negative --exclude-path-regex ':watch$'
    [ "$good" -gt 0 ] || bad=$((bad + 1))
    echo "schemathesis: $good passed, $bad failed"
    [ "$bad" -eq 0 ]
}

# judge NAME FUNCTION: runs one suite and keeps its closing line
judge() {
    echo "=== $1"
    if ! "$2" 2>&1 | tee "$work/$1.suite.log"; then failed=1; fi
    close_suite "$1" "$work/$1.suite.log"
}

if wanted validators; then
    prepare_modules
    judge validators validators
fi
if wanted schemathesis; then
    start openapi-demo demo --listen 127.0.0.1:0
    judge schemathesis calls
    drain drain
fi
conclude
