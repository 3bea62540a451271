#!/usr/bin/env bash
# Trishift in minutes: generate gesture clips, train TSN, TSM and TRN on them, evaluate and predict.
#
#   bash scripts/quickstart.sh [FRAMEWORK [--tiny]]        pytorch (default), mindspore or paddle; a trial run
#
#   OUTPUT    folder of the results               (default: runs/quickstart in the repository)
#   DEVICE    auto (default), cpu, gpu or ascend
set -euo pipefail
OUTPUT=${OUTPUT:+$(realpath -m "$OUTPUT")}
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt requirements-dev.txt

exec trishift quickstart --framework "${1:-pytorch}" --device "${DEVICE:-auto}" --output "${OUTPUT:-runs/quickstart}" "${@:2}"
