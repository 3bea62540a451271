"""INT8 models for OpenVINO, by post-training quantization (NNCF) on a calibration set."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def quantize(onnx_file: Path, folder: Path, clips: Sequence[np.ndarray]) -> None:
    """Write `model.xml` and `model.bin`: 8-bit weights per channel, 8-bit activations in the ranges observed on clips.

    Args:
        onnx_file: the program in float32, taking clips.
        folder: output folder.
        clips: (T, C, H, W) float32, as the program takes them.
    """
    import nncf
    import openvino

    from trishift.export.runtimes.openvino import MODEL

    logging.getLogger("nncf").setLevel(logging.ERROR)
    samples = nncf.Dataset(range(len(clips)), lambda index: clips[index][None])
    model = nncf.quantize(openvino.Core().read_model(onnx_file), samples, subset_size=len(clips))
    openvino.save_model(model, folder / MODEL, compress_to_fp16=False)
