#!/usr/bin/env bash
# Unpacks Jester's downloads into TARGET_PATH/20bn-jester-v1 (frames) and TARGET_PATH/labels. The downloads are not
# modified and not joined on disk. Run it again after an interruption, or after downloading a damaged part again.
#
#   bash scripts/unpack_jester_dataset.sh DATA_PATH TARGET_PATH
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: bash scripts/unpack_jester_dataset.sh DATA_PATH TARGET_PATH" >&2
    exit 2
fi
DATA=$(realpath -m "$1") TARGET=$(realpath -m "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d .venv/bin ] && export PATH="$PWD/.venv/bin:$PATH"
[ -d "$DATA" ] || { echo "error: DATA_PATH $DATA is not a folder" >&2; exit 1; }

exec python -m trishift prepare unpack "$DATA" --output "$TARGET"
