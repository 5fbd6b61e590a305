#!/usr/bin/env bash
# Fuzzes one target, with the stable compiler and libFuzzer (which the crate libfuzzer-sys builds with the C++ compiler).
#
#     tests/fuzz/run.sh TARGET [SECONDS [LIBFUZZER_OPTION ...]]        60 seconds
#
# TARGET is one of targets/. What is found is kept in target/fuzz/corpus/TARGET and goes on from there next time; an input
# that fails lies in target/fuzz/artifacts/TARGET, and is tried again by naming it in place of the seconds. README.md has
# more.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/fuzz
target=${1:?the name of a target}
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))

# the flags that cargo-fuzz sets, but for the sanitizer: there is no unsafe code here for one to watch
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
triple=$(rustc -vV | sed -n 's/^host: //p')
(cd "$root" && RUSTFLAGS="$coverage" CARGO_INCREMENTAL=0 cargo build --profile fuzz --locked -p transom-fuzz \
    --target "$triple" --target-dir "$work" --bin "$target")
program=$work/$triple/fuzz/$target

mkdir -p "$work/artifacts/$target" "$work/corpus/$target"
cd "$root"
if [ -f "$seconds" ]; then
    exec "$program" "$seconds" "-artifact_prefix=$work/artifacts/$target/" "$@"
fi

kind=$target
case $target in
rules) kind=wire folders=(corpus/rules) ;;
json_to_wire | json_against_dynamic) kind=json folders=(corpus/json_to_wire found/json) ;;
wire_to_json | wire_against_dynamic | guard) kind=wire folders=(corpus/wire_to_json corpus/guard found/wire) ;;
field) kind=wire folders=(corpus/field corpus/wire_to_json corpus/guard found/wire) ;;
wire_*) folders=("corpus/${target#wire_}") ;;
*) folders=("corpus/$target") ;;
esac
options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=1024 "-artifact_prefix=$work/artifacts/$target/")
if [ -f "$here/dictionaries/$kind.dict" ]; then options+=("-dict=$here/dictionaries/$kind.dict"); fi
exec "$program" "$work/corpus/$target" "${folders[@]/#/$here/}" "${options[@]}" -print_final_stats=1 "$@"
