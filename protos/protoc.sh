#!/bin/sh
# What the build takes for protoc, so that it needs none (.cargo/config.toml): a crate that we use compiles
# buf/validate/validate.proto in its build script. The answer is kept beside the file, in buf/validate/validate.binpb; a
# test compares the two. Set PROTOC to use a true protoc.
set -eu
out=''
for argument in "$@"; do
    [ "${previous:-}" = -o ] && out=$argument
    previous=$argument
done
if [ "${previous:-}" != buf/validate/validate.proto ] || [ -z "$out" ]; then
    echo "protoc.sh stands in for protoc with buf/validate/validate.proto alone; set PROTOC to a true one" >&2
    exit 1
fi
cp "$(dirname "$0")/buf/validate/validate.binpb" "$out"
