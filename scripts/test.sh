#!/usr/bin/env bash
# Checks and tests, on a machine where nothing is installed: makes .venv itself.
#
#   bash scripts/test.sh [pytest arguments]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt requirements-dev.txt

ruff check .
ruff format --check .
mypy
# Two processes of one thread each use two cores better than one process of two threads.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec python -m pytest -n "${TEST_PROCESSES:-2}" --dist loadfile --no-loadscope-reorder "$@"
