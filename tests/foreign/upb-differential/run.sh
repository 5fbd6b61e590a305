#!/usr/bin/env bash
# The transcoder and the guard against protobuf for Python (upb): random and damaged messages, in JSON and on the wire.
#
#     tests/foreign/upb-differential/run.sh [--questions N | --seconds N] [--seed S]         30,000 questions, seed 1
#
# TESTEE    the program to compare (target/debug/examples/transcode_testee, else built there)
# What has to be installed goes to target/foreign/upb-differential (requirements.txt); needed is Python 3.9 or later with
# venv. Differences that are meant are in differences.py, each with its reason. Equal seeds make equal questions.
# Closes with one line, and exits with 1 if anything else differed; what did is in target/foreign/upb-differential/found.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work="$root/target/foreign/upb-differential"
mkdir -p "$work"
cd "$root"

die() {
    echo "upb-differential: $*" >&2
    exit 1
}

testee=${TESTEE:-}
if [ -z "$testee" ]; then
    cargo build --locked --example transcode_testee
    testee=$root/target/debug/examples/transcode_testee
fi
[ -x "$testee" ] || die "$testee is no program"

python="$work/venv/bin/python"
if ! [ -x "$python" ] || ! cmp -s "$here/requirements.txt" "$work/venv/requirements.txt"; then
    rm -rf "$work/venv"
    python3 -m venv "$work/venv"
    timeout 600 "$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" ||
        die "pip install failed"
    cp "$here/requirements.txt" "$work/venv/requirements.txt"
fi

export PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/compare.py" --testee "$testee" --protos "$root/tests/fuzz" --found "$work/found" "$@"
