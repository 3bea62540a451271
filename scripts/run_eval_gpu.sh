#!/usr/bin/env bash
# Evaluate a checkpoint; see scripts/launch.sh for FRAMEWORK, DEVICE, NPROC and OUTPUT. Only foreign weights need
# CONFIG. Several processes share the list and give the result of one.
#
#   bash scripts/run_eval_gpu.sh DATASET_ROOT CHECKPOINT [eval.py arguments and key=value ...]
set -euo pipefail
start=$PWD config=${CONFIG:-}
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
[ $# -ge 2 ] || usage "DATASET_ROOT CHECKPOINT [eval.py arguments and key=value ...]"

root=$(cd "$start" && realpath -m "$1"); checkpoint=$(weights "$2"); shift 2
require_path "dataset root" "$root"
arguments=(--checkpoint "$checkpoint" --framework "$FRAMEWORK" --device "$DEVICE" --output "$OUTPUT/eval/result.json" "data.root=$root")
[ -n "$config" ] && arguments+=(--config "$config")
check_device
arguments+=(--devices "$(count_independent)")
mkdir -p "$OUTPUT/eval"
python eval.py "${arguments[@]}" "$@" 2>&1 | tee "$OUTPUT/eval/eval.log"
