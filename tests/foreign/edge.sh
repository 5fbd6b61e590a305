# Sourced by the scripts that let foreign programs call a built edge. It finds the edge, installs what is missing, starts
# servers and ends them, and keeps the suites' closing lines.
#
# Takes `here` (the folder of tests/foreign) and `suites` (what was asked for; filled by default_suites if empty).
# Sets `root`, `work` (target/foreign: all that is installed, and the logs) and `transom`.

root=$(cd "$here/../.." && pwd)
work="$root/target/foreign"
mkdir -p "$work"
cd "$root"

die() {
    echo "${0#"$root"/}: $*" >&2
    exit 1
}

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

# default_suites NAME...: all there are, in order; refuses what is not among them
default_suites() {
    local suite
    for suite in "${suites[@]}"; do
        [[ " $* " == *" $suite "* ]] || die "no suite is called $suite (there are: $*)"
    done
    [ ${#suites[@]} -gt 0 ] || suites=("$@")
}

wanted() {
    [[ " ${suites[*]} " == *" $1 "* ]]
}

# === what is needed

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

certificate() {
    command -v openssl >/dev/null || apt_install openssl
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
}

# === servers

# the edges, which have to end with exit code 0; and servers of others, which end as they like
edges=() servers=()
cleanup() {
    local pid
    for pid in "${edges[@]}" "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${edges[@]}" "${servers[@]}"; do wait "$pid" 2>/dev/null || true; done
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
    edges+=("$pid")
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

# === results

failed=0
lines=()
# close_suite NAME LOG: keeps the suite's closing line; a suite without one has failed
close_suite() {
    local line
    line=$(grep -E '^[a-z0-9-]+: [0-9]+ passed, [0-9]+ failed$' "$2" | tail -1 || true)
    if [ -z "$line" ]; then
        line="$1: 0 passed, 1 failed"
        failed=1
    fi
    lines+=("$line")
}

# suite NAME COMMAND...: runs one suite, if it is wanted, for at most five minutes
suite() {
    local name=$1 log="$work/$1.suite.log"
    shift
    wanted "$name" || return 0
    echo "=== $name"
    if ! timeout --kill-after=10 300 "$@" 2>&1 | tee "$log"; then failed=1; fi
    close_suite "$name" "$log"
}

# Every edge has to end by itself, with exit code 0.
drain() {
    local name=$1 pid code passed=0 unclean=0
    for pid in "${edges[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${edges[@]}"; do
        code=0
        wait "$pid" || code=$?
        if [ "$code" -eq 0 ]; then
            passed=$((passed + 1))
        else
            unclean=$((unclean + 1))
            failed=1
            echo "FAIL $name: a server ended with exit code $code after SIGTERM"
        fi
    done
    edges=()
    lines+=("$name: $passed passed, $unclean failed")
}

# The closing lines, and the end of the script.
conclude() {
    echo "==="
    printf '%s\n' "${lines[@]}"
    exit "$failed"
}
