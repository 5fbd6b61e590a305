#!/usr/bin/env bash
# How many instructions each of the canonical transcodes, the guard over the same messages, and each of the eight canonical
# calls through the whole edge may take: counted by valgrind, not timed, so that a busy machine makes no difference.
#
#     tests/bench/ceilings.sh                       # counts, and compares with ceilings.txt and calls.txt
#     tests/bench/ceilings.sh --write               # writes what was counted to them
#     tests/bench/ceilings.sh [--write] calls       # only these, or only `transcodes`
#
# Counts are those of the optimised build of one compiler and one target (the first line of each file). There a count
# may be 3 % above its ceiling; with another compiler the code differs, and 15 % is what is asked.
# Allocations are checked by `cargo test --test ceilings`. Closes with one line; exits with 1 if a ceiling is exceeded.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"

die() {
    echo "ceilings: $*" >&2
    exit 1
}

write= kinds=()
for argument in "$@"; do
    case $argument in
        --write) write=1 ;;
        transcodes | calls) kinds+=("$argument") ;;
        *) die "usage: $0 [--write] [transcodes] [calls]" ;;
    esac
done
[ "${#kinds[@]}" -gt 0 ] || kinds=(transcodes calls)

if ! command -v valgrind >/dev/null; then
    command -v apt-get >/dev/null || die "valgrind is needed"
    as_root=
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    { timeout 300 $as_root apt-get update -qq && timeout 300 $as_root apt-get install -y -qq valgrind; } >/dev/null ||
        die "valgrind is needed, and apt-get could not install it"
fi

cargo build --release --locked --bin transom --example counted_transcodes
# it only drives what is counted: no need to wait for an optimised one
cargo build --locked --example counted_calls
target=${CARGO_TARGET_DIR:-$root/target}
transcodes=$target/release/examples/counted_transcodes
calls=("$target/debug/examples/counted_calls" "$target/release/transom")

counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT

# Instructions of one transcode: the program does ten of them in the function that is counted.
count_transcodes() {
    local log=$counts/$1.log
    timeout 300 valgrind --tool=callgrind --callgrind-out-file="$counts/$1.out" --collect-atstart=no \
        --toggle-collect=counted_transcodes "$transcodes" "$1" >"$log" 2>&1 || { tail -20 "$log" >&2; die "$1 failed"; }
    local total
    total=$(sed -nE 's/.*Collected : ([0-9]+).*/\1/p' "$log")
    [ "${total:-0}" -gt 0 ] || die "valgrind counted nothing of $1"
    echo $((total / 10))
}

# Instructions of one call. What `timeout` ends is the whole group, the edge included.
count_calls() {
    timeout 300 "${calls[@]}" "$1" 2>"$counts/$1.log" || { tail -20 "$counts/$1.log" >&2; die "$1 failed"; }
}

file_of() {
    case $1 in
        transcodes) echo "$here/ceilings.txt" ;;
        calls) echo "$here/calls.txt" ;;
    esac
}

# How to see where the instructions of one went.
show() {
    case $1 in
        transcodes) echo "valgrind --tool=callgrind --collect-atstart=no --toggle-collect=counted_transcodes $transcodes $2" ;;
        calls) echo "${calls[*]} $2 callgrind.out" ;;
    esac
}

compiler="$(rustc --version | sed -nE 's/^rustc ([0-9]+\.[0-9]+).*/rust \1/p'), $(rustc -vV | sed -nE 's/^host: //p')"

write() {
    local file name allocations counted
    file=$(file_of "$1")
    {
        echo "# $compiler"
        sed -n '2,/^[^#]/{/^#/p}' "$file"
        while read -r name _ allocations; do
            counted=$("count_$1" "$name" </dev/null)
            printf '%-16s %10s %4s\n' "$name" "$counted" "$allocations"
        done < <(grep -vE '^(#|$)' "$file")
    } >"$counts/new"
    cp "$counts/new" "$file"
    cat "$file"
}

passed=0 failed=0
check() {
    local file meant margin=3 name ceiling counted
    file=$(file_of "$1")
    meant=$(sed -nE 's/^# (rust .*)/\1/p' "$file" | head -1)
    if [ "$compiler" != "$meant" ]; then
        margin=15
        echo "the ceilings of $1 are for $meant, this is $compiler: counts may be $margin % above them"
    fi
    while read -r name ceiling _; do
        counted=$("count_$1" "$name" </dev/null)
        printf '%-16s %10s instructions, ceiling %10s (%+d.%d %%)\n' "$name" "$counted" "$ceiling" \
            $(((counted - ceiling) * 100 / ceiling)) $((((counted - ceiling) * 1000 / ceiling) % 10 * (counted < ceiling ? -1 : 1)))
        if [ $((counted * 100)) -gt $((ceiling * (100 + margin))) ]; then
            failed=$((failed + 1))
            echo "FAIL $name is more than $margin % above its ceiling. See what has become slower:"
            echo "     $(show "$1" "$name")"
            echo "     and callgrind_annotate. If it has to be so: $0 --write $1, and say why in the commit."
        else
            passed=$((passed + 1))
            if [ "$margin" -eq 3 ] && [ $((counted * 100)) -lt $((ceiling * 97)) ]; then
                echo "     $name has become faster: $0 --write $1 keeps what was won"
            fi
        fi
    done < <(grep -vE '^(#|$)' "$file")
}

for kind in "${kinds[@]}"; do
    if [ -n "$write" ]; then write "$kind"; else check "$kind"; fi
done
[ -z "$write" ] || exit 0
echo "ceilings: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
