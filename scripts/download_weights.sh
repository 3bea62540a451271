#!/usr/bin/env bash
# Download published weights and convert them, so that later commands need no network; without names, list them.
#
#   bash scripts/download_weights.sh [NAME ...]        names or patterns: tsm-r50-8f-k400 'tsn*'
#   TRISHIFT_HOME=/data/weights bash scripts/download_weights.sh tsm-r50-8f-k400
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt

if [ $# -eq 0 ]; then
    exec python -m trishift models
fi
exec python -m trishift models --download "$@"
