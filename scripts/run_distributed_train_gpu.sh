#!/usr/bin/env bash
# Train on all devices of one or several machines; see scripts/launch.sh for the environment variables.
#
#   bash scripts/run_distributed_train_gpu.sh DATASET_ROOT [PRETRAINED] [train.py arguments and key=value ...]
#   DEVICE=cpu NPROC=2 FRAMEWORK=paddle CONFIG=configs/gestures/tsm.yaml bash scripts/run_distributed_train_gpu.sh data/gestures
set -euo pipefail
start=$PWD
. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
[ $# -ge 1 ] || usage "DATASET_ROOT [PRETRAINED] [train.py arguments and key=value ...]"

root=$(cd "$start" && realpath -m "$1"); shift
require_path "dataset root" "$root"
choose_output "$@"
arguments=(--config "$CONFIG" --framework "$FRAMEWORK" --output "$OUTPUT" "data.root=$root" "execution.device=$DEVICE" execution.distributed=true)
if [ $# -ge 1 ] && [[ $1 != *=* && $1 != --* ]]; then
    pretrained=$(weights "$1"); shift
    arguments+=("train.initial_weights=$pretrained" train.new_head=true)
fi
check_device
launch train.py "${arguments[@]}" "$@"
