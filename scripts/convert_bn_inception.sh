#!/usr/bin/env bash
# Convert ImageNet BNInception (yjxiong's PyTorch file) to a MindSpore checkpoint.
#
#   bash scripts/convert_bn_inception.sh bn_inception-9f5701afb96c8044.pth bn_inception.ckpt
set -euo pipefail
if [ $# -ne 2 ]; then
    echo "usage: bash scripts/convert_bn_inception.sh TORCH_FILE CKPT_FILE" >&2
    exit 2
fi
IN=$(realpath "$1") OUT=$(realpath -m "$2")
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh" requirements.txt

exec python convert/bn_inception.py "$IN" "$OUT" --framework mindspore
