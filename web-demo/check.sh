#!/usr/bin/env bash
# Proves that the committed page is what its sources build: a clean install and build elsewhere, compared byte for byte.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -C "$here" --exclude=node_modules --exclude=dist -cf - . | tar -C "$work" -xf -
cd "$work"
npm ci --ignore-scripts --no-audit --no-fund --silent
npm run --silent typecheck
npm run --silent build >/dev/null
diff -r "$here/dist" "$work/dist"
echo "web-demo/dist matches its sources"
