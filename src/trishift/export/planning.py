"""Export options, and checks that model, format and options are compatible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trishift.backends.contract import Device
from trishift.backends.program import ProgramSpec
from trishift.checkpoints.canonical import Checkpoint
from trishift.checkpoints.verification import TOLERANCE
from trishift.errors import CheckpointError, FrameworkError, RecipeError
from trishift.export.formats import Format
from trishift.model.feature_maps import check_size
from trishift.model.online import check_streamable

OPSET = 18  # written by torch's exporter; older ones are made from it
OLDEST_OPSET = 13


@dataclass(frozen=True)
class ExportOptions:
    """How a checkpoint is exported.

    Attributes:
        format: a key of `formats.FORMATS`.
        framework: framework that writes the file; None for the format's default.
        uint8: include preprocessing and softmax (multi-label: sigmoid) in the program: uint8 RGB frames in,
            probabilities out.
        streaming: export one step of a unidirectional model, with its state as inputs and outputs.
        opset: operator set version of ONNX files.
        runtime: runtime in which the written program is compared with the checkpoint; None for the format's default.
        device: device on which the written program is compared with the checkpoint, which runs on the CPU.
        tolerance: largest allowed difference from the checkpoint, relative to the largest score.
        calibration: normalized clips (T, C, H, W) float32 for INT8 calibration.
        judges: other such clips, on which the INT8 model is compared with the checkpoint; None: random clips.
    """

    format: str
    framework: str | None = None
    uint8: bool = False
    streaming: bool = False
    opset: int = OPSET
    runtime: str | None = None
    device: Device = "cpu"
    tolerance: float = TOLERANCE
    calibration: Sequence[np.ndarray] | None = None
    judges: Sequence[np.ndarray] | None = None


def plan(checkpoint: Checkpoint, target: Format, framework: str, options: ExportOptions) -> ProgramSpec:
    """Determine the inputs and outputs of the program.

    Raises:
        CheckpointError: the weights have no head.
        RecipeError: the model does not support the options.
        FrameworkError: the format does not support the options.
    """
    model, pixels = checkpoint.spec, checkpoint.input
    if model is None or pixels is None or not model.num_classes:
        raise CheckpointError("the weights have no head; there is no model to export")
    if model.head.consensus != "average" and model.head.relations == "sampled":
        raise RecipeError("head.relations: random draws cannot be exported; choose --relations expected, all or first")
    if options.uint8 and (pixels.modality != "rgb" or model.in_channels != 3):
        raise RecipeError(f"--uint8: the model takes {pixels.modality}; only RGB frames can be normalized inside")
    check_size(model, pixels.crop_size)
    if options.streaming:
        check_streamable(model)
    if model.motion and model.motion.kind == "msn" and (framework, target.name) == ("mindspore", "onnx"):
        raise FrameworkError("mindspore cannot write deformable convolutions as ONNX; use framework pytorch")
    if target.lossy and (options.uint8 or options.streaming):
        raise FrameworkError(f"{target.title} takes whole normalized clips; remove --uint8 and --streaming")
    if target.lossy != (options.calibration is not None):
        wanted = "is calibrated on clips; give" if target.lossy else "needs no calibration; remove"
        raise FrameworkError(f"{target.title} {wanted} --calibration")
    if options.opset < OLDEST_OPSET:
        raise FrameworkError(f"opset {options.opset}: {OLDEST_OPSET} is the oldest supported; use --opset {OPSET}")
    if options.opset != OPSET and (framework, target.name) != ("pytorch", "onnx"):
        raise FrameworkError(f"opset {options.opset}: only ONNX files written by pytorch have a choice; remove --opset")
    fixed = 1 if (framework, target.name) == ("mindspore", "onnx") else None  # MindSpore's ONNX has no dynamic sizes
    return ProgramSpec(model, pixels.crop_size, pixels if options.uint8 else None, options.streaming, fixed)
