#!/usr/bin/env bash
# Run checks and tests on a fresh machine; creates .venv if needed (see scripts/environment.sh).
#
#   bash scripts/test.sh [pytest arguments]
#
#   ONLY    checks (style, spelling, types) or tests      (default: both)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt requirements-dev.txt

case "${ONLY:=both}" in both|checks|tests) ;; *) echo "error: ONLY=$ONLY is unknown; use checks or tests" >&2; exit 2 ;; esac
build_site() {
    if [ -x .venv/bin/mkdocs ]; then
        NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict --site-dir "$(mktemp -d)/site"
    else
        echo "note: the site is not built: its theme needs Python 3.11" >&2
    fi
}
if [ "$ONLY" != tests ]; then
    ruff check .
    ruff format --check .
    codespell
fi
if [ "$ONLY" = checks ]; then
    build_site
    exec mypy
fi
# The test of the web page needs ONNX Runtime Web and a browser; without them it is skipped.
timeout 120 bash scripts/web_assets.sh || true
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { timeout 60 apt-get update && timeout 200 apt-get install --yes --no-install-recommends chromium; } >/dev/null 2>&1 ||
        echo "note: chromium cannot be installed" >&2
fi
if [ "$ONLY" = both ]; then  # these take a core for a while, in which the tests make use of the other one
    checks=$(mktemp)
    { mypy && build_site; } > "$checks" 2>&1 &
fi
# Two single-threaded processes use two cores better than one process with two threads.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
status=0
python -m pytest -n "${TEST_PROCESSES:-2}" --dist loadfile --no-loadscope-reorder "$@" || status=$?
if [ "$ONLY" = both ]; then
    wait $! || status=1
    cat "$checks"
    rm "$checks"
fi
exit "$status"
