#!/usr/bin/env bash
# Trishift in minutes: generate gesture clips, train TSN, TSM and TRN on them, evaluate and predict.
#
#   bash scripts/quickstart.sh [FRAMEWORK]        pytorch (default), mindspore or paddle
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt requirements-dev.txt

exec trishift quickstart --framework "${1:-pytorch}"
