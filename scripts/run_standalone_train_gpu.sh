#!/usr/bin/env bash
# Train on one device; see scripts/launch.sh for FRAMEWORK, CONFIG, DEVICE and OUTPUT.
#
#   bash scripts/run_standalone_train_gpu.sh DEVICE_ID DATASET_ROOT [PRETRAINED] [train.py arguments and key=value ...]
set -euo pipefail
start=$PWD
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
[ $# -ge 2 ] || usage "DEVICE_ID DATASET_ROOT [PRETRAINED] [train.py arguments and key=value ...]"

device_id=$1; root=$(cd "$start" && realpath -m "$2"); shift 2
require_path "dataset root" "$root"
choose_output "$@"
arguments=(--config "$CONFIG" --framework "$FRAMEWORK" --output "$OUTPUT" "data.root=$root" "execution.device=$DEVICE")
if [ $# -ge 1 ] && [[ $1 != *=* && $1 != --* ]]; then
    pretrained=$(weights "$1"); shift
    arguments+=("train.initial_weights=$pretrained" train.new_head=true)
fi
check_device
export CUDA_VISIBLE_DEVICES=$device_id ASCEND_RT_VISIBLE_DEVICES=$device_id
mkdir -p "$OUTPUT"
python train.py "${arguments[@]}" "$@" 2>&1 | tee "$OUTPUT/train.log"
