#!/usr/bin/env bash
# Predict videos or write their features on all devices; see scripts/launch.sh for FRAMEWORK, DEVICE and NPROC.
#
#   bash scripts/run_infer_gpu.sh CHECKPOINT [arguments of the command] VIDEO ...
#   COMMAND=features bash scripts/run_infer_gpu.sh best.safetensors --output features CLIPS
#
#   COMMAND   infer (default) or features
set -euo pipefail
start=$PWD
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
[ $# -ge 2 ] || usage "CHECKPOINT [arguments of the command] VIDEO ..."

check_device
cd "$start"  # all paths are relative to it
exec python -m trishift "${COMMAND:-infer}" --checkpoint "$1" --framework "$FRAMEWORK" --device "$DEVICE" \
    --devices "$(count_independent)" "${@:2}"
