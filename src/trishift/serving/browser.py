"""A model in the form that the page runs: an ONNX program of one step, and `model.json`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trishift.checkpoints import Checkpoint, import_weights
from trishift.checkpoints.canonical import CALIBRATION, WINDOW
from trishift.data.transforms import channel_order
from trishift.errors import CheckpointError
from trishift.evaluation.calibration import stored_calibration
from trishift.export.description import Description, description_path
from trishift.export.opening import describe, is_exported, open_exported
from trishift.export.planning import ExportOptions
from trishift.export.session import RuntimeSession
from trishift.export.writing import export_checkpoint
from trishift.io.atomic import write_text
from trishift.io.wording import counted
from trishift.model.online import streaming_obstacle
from trishift.model.pixels import normalization
from trishift.model.spec import InputSpec
from trishift.streaming.timeline import stored_window

DESCRIPTION = "model.json"
_NAME = "model"
_PUBLIC = ("thresholds", CALIBRATION, WINDOW)  # entries of the metadata that the page needs
_RATE = 12.0  # frames per second of models that do not record the length of their clips; Jester's
_PROOF_STEPS = 2


def obstacle(model: Checkpoint | Description) -> tuple[str, str] | None:
    """Why a browser cannot run weights or an exported model frame by frame, and a remedy; None if it can."""
    if isinstance(model, Description):
        program = model.program
        if model.format.name != "onnx" or not program.streaming or program.pixels or program.batch:
            return "it was not exported with --format onnx --streaming", "give its checkpoint"
        return obstacle(model.checkpoint)
    spec, pixels = model.spec, model.input
    if spec is None or pixels is None or not spec.num_classes:
        raise CheckpointError("the weights have no head; there is nothing to show")
    if (pixels.modality, spec.in_channels) != ("rgb", 3):
        return f"it takes {pixels.modality} of several frames, not single pictures", "give a model of RGB frames"
    found = streaming_obstacle(spec)
    return found and (found[0], f"train or fine-tune one with {found[1]}")


def examined(path: Path, **options: Any) -> Checkpoint | Description:
    """A weight file, read with the import options, or the description of an exported model.

    Raises:
        CheckpointError: it cannot be read.
    """
    return describe(path) if is_exported(path) else import_weights(path, **options)[0]


def write_browser_model(model: Checkpoint | Description, path: Path, name: str, folder: Path) -> None:
    """Write `model.onnx` and `model.json`.

    Weights are exported without their recipe, which can contain local paths.

    Args:
        model: what `examined` returned; the browser can run it.
        path: its file.
        name: title of the page.
        folder: the folder.

    Raises:
        CheckpointError, FrameworkError, OutputError: see `export_checkpoint`.
    """
    if isinstance(model, Description):
        program = Path(shutil.copy(path, folder / f"{_NAME}{model.format.suffix}"))
    else:
        meta = {key: value for key, value in model.meta.items() if key in _PUBLIC}
        options = ExportOptions("onnx", streaming=True)
        program = export_checkpoint(replace(model, meta=meta), options, folder, _NAME).path
    session, description = open_exported(program)
    description_path(program).unlink(missing_ok=True)
    _write(description.checkpoint, name, folder, _program_entries(program, session, description))


def write_server_model(model: Checkpoint | Description, name: str, folder: Path) -> None:
    """Write `model.json` of a model that runs on the server, as the browser cannot run it."""
    checkpoint = model.checkpoint if isinstance(model, Description) else model
    reason, _ = obstacle(model) or ("", "")
    _write(checkpoint, name, folder, {"reason": f"The browser cannot run this model: {reason}."})


def _write(checkpoint: Checkpoint, name: str, folder: Path, entries: dict[str, Any]) -> None:
    spec = checkpoint.spec
    assert spec is not None
    labels = checkpoint.labels or tuple(map(str, range(spec.num_classes)))
    content = {
        "name": name,
        "summary": f"{spec.backbone}, {counted(spec.num_classes, 'class')}",
        "labels": labels,
        **entries,
    }
    write_text(folder / DESCRIPTION, json.dumps(content, ensure_ascii=False) + "\n")


def _program_entries(program: Path, session: RuntimeSession, description: Description) -> dict[str, Any]:
    checkpoint, spec = description.checkpoint, session.spec
    pixels = description.input
    inputs, outputs = description.program.inputs[1:], description.program.outputs[1:]
    window, calibration = stored_window(checkpoint.meta), stored_calibration(checkpoint.meta, spec)
    of_frames = normalization(pixels, spec.in_channels)
    return {
        "file": program.name,
        "bytes": program.stat().st_size,
        "multi_label": spec.multi_label,
        "temperature": calibration.temperature,
        "thresholds": None if calibration.thresholds is None else calibration.thresholds.tolist(),
        "rate": round(spec.num_segments / window, 2) if window else _RATE,
        "average": spec.num_segments,
        "input": {
            "resize": list(pixels.resize_size),
            "crop": list(pixels.crop_size),
            "order": list(channel_order(pixels)),
            "factors": of_frames.factors.ravel().tolist(),
            "offsets": of_frames.offsets.ravel().tolist(),
        },
        "states": [
            {"input": state.name, "output": following.name, "shape": [1, *state.shape[1:]]}
            for state, following in zip(inputs, outputs, strict=True)
        ],
        "proof": _proof(session, pixels),
    }


def _proof(session: RuntimeSession, pixels: InputSpec) -> list[list[float]]:
    """Logits of some steps on a fixed frame, with which the page compares its own."""
    height, width = pixels.crop_size
    values = np.arange(3 * height * width) * 37 % 255 / 127.5 - 1
    frame = values.astype(np.float32).reshape(1, 3, height, width)
    state, rows = None, []
    for _ in range(_PROOF_STEPS):
        logits, state = session.step(frame, state)
        rows.append(logits[0].tolist())
    return rows
