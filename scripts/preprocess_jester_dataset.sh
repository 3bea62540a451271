#!/usr/bin/env bash
# Writes DATASET_ROOT/categories.txt, train_videofolder.txt and val_videofolder.txt from DATASET_ROOT/20bn-jester-v1 and
# labels/*.csv. Missing and broken clips are skipped, counted, and listed in report.json.
#
#   bash scripts/preprocess_jester_dataset.sh DATASET_ROOT
set -euo pipefail
if [ $# -ne 1 ]; then
    echo "usage: bash scripts/preprocess_jester_dataset.sh DATASET_ROOT" >&2
    exit 2
fi
ROOT=$(realpath -m "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d .venv/bin ] && export PATH="$PWD/.venv/bin:$PATH"
[ -d "$ROOT" ] || { echo "error: DATASET_ROOT $ROOT is not a folder" >&2; exit 1; }

exec python -m trishift prepare jester "$ROOT" --output "$ROOT" --original-names
