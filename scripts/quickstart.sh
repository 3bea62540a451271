#!/usr/bin/env bash
# The main job in minutes: makes a set of gesture clips, trains TSN, TSM and TRN on it, evaluates and predicts.
#
#   bash scripts/quickstart.sh [FRAMEWORK]        pytorch (default), mindspore or paddle
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt requirements-dev.txt

exec trishift quickstart --framework "${1:-pytorch}"
