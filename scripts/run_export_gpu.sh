#!/usr/bin/env bash
# Export a checkpoint for deployment; see `python export.py --help` for the arguments.
#
#   bash scripts/run_export_gpu.sh DATASET_ROOT CHECKPOINT [export.py arguments ...]
#   FORMAT=onnx bash scripts/run_export_gpu.sh data/gestures runs/gestures-tsm/best.safetensors
#
#   FORMAT        mindir (default), onnx, paddle, torch or openvino-int8
#   CALIBRATION   list of clips for openvino-int8, relative to DATASET_ROOT (default: train.txt)
#   OUTPUT        folder (default: the checkpoint's folder)
#
# The original read a sample and the number of classes from DATASET_ROOT. Here the checkpoint records both, and the data set
# is only used to calibrate openvino-int8.
set -euo pipefail
start=$PWD output=${OUTPUT:-} format=${FORMAT:-mindir}
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
[ $# -ge 2 ] || usage "DATASET_ROOT CHECKPOINT [export.py arguments ...]"

root=$(cd "$start" && realpath -m "$1"); checkpoint=$(weights "$2"); shift 2
require_path "dataset root" "$root"
arguments=(--checkpoint "$checkpoint" --format "$format")
[ -n "$output" ] && arguments+=(--output "$(cd "$start" && realpath -m "$output")")
[ "$format" = openvino-int8 ] && arguments+=(--calibration "$root/${CALIBRATION:-train.txt}" --root "$root")
exec python export.py "${arguments[@]}" "$@"
