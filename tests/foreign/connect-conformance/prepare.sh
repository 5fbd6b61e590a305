# What run.sh and client.sh need before they start; read by both. Sets work, bin and transom, and die.
# shellcheck shell=bash

version=v1.0.6 # v1.0.7 needs a module that the public Go proxy does not serve
suite=connectrpc.com/conformance
root=$(cd "$here/../../.." && pwd)
work="$root/target/foreign/connect-conformance"
bin="$root/target/foreign/go"

die() {
    echo "tests/foreign/connect-conformance: $*" >&2
    exit 1
}

transom=${TRANSOM:-}
for candidate in "$root/target/release/transom" "$root/target/quick/transom"; do
    [ -z "$transom" ] && [ -x "$candidate" ] && transom=$candidate
done
[ -x "$transom" ] || die "build the edge first: cargo build --release (or name it by TRANSOM)"
command -v python3 >/dev/null || die "python3 is missing"
command -v go >/dev/null || die "go (1.26 or newer) is missing"
export PYTHONDONTWRITEBYTECODE=1

stamp="$bin/connect-conformance.version"
if [ "$(cat "$stamp" 2>/dev/null)" != "$version" ] || [ ! -d "$bin/conformance-protos" ]; then
    mkdir -p "$bin"
    rm -f "$stamp"
    for command in connectconformance grpcserver referenceserver referenceclient; do
        GOBIN="$bin" timeout 900 go install "$suite/cmd/$command@$version" || die "go install $command@$version failed"
    done
    rm -rf "$bin/conformance-protos"
    cp -r "$(go env GOMODCACHE)/$suite@$version/proto" "$bin/conformance-protos"
    chmod -R u+w "$bin/conformance-protos"
    echo "$version" >"$stamp"
fi

failed=0 passed_all=0 failed_all=0
lines=()

# run NAME MODE CONF EXPECTED ADAPTER ARGUMENT...: one run of the suite, with its table and closing line; $runner are
# more arguments for the runner, ADAPTER and its arguments what it starts
run() {
    local name=$1 mode=$2 conf=$3 expected=$4 logs="$work/$1" line parallel=()
    shift 4
    # in client mode that is the client's affair
    [ "$mode" = client ] || parallel=(--parallel "${PARALLEL:-8}")
    rm -rf "$logs"
    mkdir -p "$logs"
    # the runner's own exit code adds nothing: the log says which cases it ran, and how they ended
    timeout --kill-after=10 900 "$bin/connectconformance" --mode "$mode" --conf "$here/$conf" --vv --max-servers 1 \
        "${parallel[@]}" --known-failing "@$here/$expected" "${runner[@]}" -- \
        python3 "$here/$1" --edge "$transom" --protos "$bin/conformance-protos" --work "$logs" "${@:2}" \
        >"$logs/runner.log" 2>&1 || true
    if ! grep -q '^Total cases: ' "$logs/runner.log"; then
        tail -5 "$logs/runner.log" >&2
        echo "the runner did not come to its end: $logs/runner.log" >>"$logs/unclean"
    fi
    python3 "$here/summarize.py" "$name" "$logs/runner.log" "$logs/unclean" | tee "$logs/summary.txt" || failed=1
    line=$(tail -1 "$logs/summary.txt")
    lines+=("$line")
    [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed ]] || die "no closing line of $name"
    passed_all=$((passed_all + BASH_REMATCH[1])) failed_all=$((failed_all + BASH_REMATCH[2]))
}

# close NAME: the closing lines of all runs, and the exit code
close() {
    echo "==="
    printf '%s\n' "${lines[@]}" "$1: $passed_all passed, $failed_all failed"
    exit "$failed"
}
