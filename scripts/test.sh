#!/usr/bin/env bash
# Checks and tests, on a machine where nothing is installed: makes .venv itself.
#
#   bash scripts/test.sh [pytest arguments]
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt requirements-dev.txt

ruff check .
ruff format --check .
mypy
exec python -m pytest "$@"
