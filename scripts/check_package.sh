#!/usr/bin/env bash
# Build the sdist and, from it, the wheel; install them into clean environments, one per extra, and use them there.
#
#   bash scripts/check_package.sh [EXTRA ...]      (default: every extra, and "none")
#
#   PYTHON    interpreter of the environments      (default: python3)
#   WORK      folder for builds and environments   (default: a temporary one)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[ -n "${WORK:-}" ] || { WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT; }
extras=("$@")
[ $# -gt 0 ] || extras=(none pytorch mindspore paddle export serve hub parquet ray remote demo docs)

# A clean environment below $WORK.
environment() { "${PYTHON:-python3}" -m venv --clear "$WORK/$1" && "$WORK/$1/bin/pip" install --quiet "${@:2}"; }

environment build build
rm -rf "$WORK/dist"
log=$WORK/build.log
"$WORK/build/bin/python" -m build --outdir "$WORK/dist" "$root" >"$log" 2>&1 || { tail -n 30 "$log"; exit 1; }
(cd "$root" && "$WORK/build/bin/python" -m testing.package_contents "$WORK"/dist/*.whl)

# An empty folder, in which nothing of the repository can be imported by accident.
unset PYTHONPATH
cd "$(mktemp -d -p "$WORK")"
for extra in "${extras[@]}"; do
    echo "== $extra"
    case "$extra" in
        none) environment "$extra" "$(echo "$WORK"/dist/*.tar.gz)" ;;
        *) environment "$extra" "$(echo "$WORK"/dist/*.whl)[$extra]" ;;
    esac
    bin=$WORK/$extra/bin
    "$bin/python" "$root/testing/import_everything.py"
    "$bin/trishift" --version
    "$bin/trishift" config gestures/tsm >config.txt
    case "$extra" in
        pytorch|mindspore|paddle) "$bin/trishift" quickstart --tiny --framework "$extra" --output "$extra" >"$extra.txt" ||
            { tail -n 30 "$extra.txt"; exit 1; } ;;
        docs) (cd "$root" && "$bin/mkdocs" build --quiet --strict --site-dir "$WORK/site") ;;
    esac
    rm -rf "${WORK:?}/$extra"  # frameworks are large
done
echo "all extras work"
