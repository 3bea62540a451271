#!/usr/bin/env bash
# Fetch the runtime of the page that `trishift demo` shows: ONNX Runtime Web, from the npm registry.
#
#   bash scripts/web_assets.sh [FOLDER]     default: src/trishift/serving/page/ort, from where wheels bundle it
#
# The archive must have the pinned hash. Files that are there already are kept.
set -euo pipefail

VERSION=1.30.0
SHA512=q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==
FILES=(  # for WebAssembly, and for WebGPU
    ort.wasm.min.mjs ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm
    ort.webgpu.min.mjs ort-wasm-simd-threaded.asyncify.mjs ort-wasm-simd-threaded.asyncify.wasm
)

cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-src/trishift/serving/page/ort}
[ "$(cat "$folder/VERSION" 2>/dev/null)" = "$VERSION" ] && exit 0
command -v npm >/dev/null || { echo "error: npm is needed (Debian: apt install npm)" >&2; exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
npm pack --silent --pack-destination "$scratch" "onnxruntime-web@$VERSION" >/dev/null
archive=$scratch/onnxruntime-web-$VERSION.tgz
found=$(openssl dgst -sha512 -binary "$archive" | base64 -w0)
[ "$found" = "$SHA512" ] || { echo "error: onnxruntime-web $VERSION has the sha512 $found, not the pinned one" >&2; exit 1; }

tar -xzf "$archive" -C "$scratch" "${FILES[@]/#/package/dist/}"
mkdir -p "$folder"
mv -f "$scratch"/package/dist/* "$folder"
echo "$VERSION" > "$folder/VERSION"  # last, so that an interrupted run is repeated
echo "written: $folder (onnxruntime-web $VERSION)"
