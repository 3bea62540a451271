"""Exports models in one framework and runs the files, for tests/export/test_parity.py.

    python -m tests.support.export_worker mindspore FOLDER

writes, for every case and format that the framework writes, FOLDER/<case>-<framework>.<format>.npz with the scores of
the reopened file for batches of 1 and 3 clips, and FOLDER/<framework>.json with the differences that the exporter
measured. The weights are a function of their names, so that all frameworks export the same model.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from testing.weights import smooth_weights

from trishift.backends import open_session
from trishift.backends.contract import Predictor
from trishift.backends.session import Session
from trishift.checkpoints import Checkpoint
from trishift.data.transforms import normalize, stack_segments
from trishift.export.formats import FORMATS
from trishift.export.opening import open_exported
from trishift.export.planning import ExportOptions
from trishift.export.writing import export_checkpoint
from trishift.model.backbones.resnet import RESNETS
from trishift.model.motion import MotionSpec, tdn
from trishift.model.pixels import segment_length
from trishift.model.sizes import Size
from trishift.model.spec import HeadSpec, ModelSpec, ShiftSpec, default_input

SIZE = (32, 36)  # height x width
STREAM_FRAMES = 64
ONCE_EACH = ("onnx", "mindir", "paddle")


@dataclass(frozen=True)
class Case:
    """A model and its export options, for all formats or for some of them by their first writers."""

    name: str
    spec: ModelSpec
    uint8: bool = False
    streaming: bool = False
    size: Size = SIZE
    formats: tuple[str, ...] = ()

    def file_name(self, framework: str) -> str:
        """Name of its exports by a framework, without suffix."""
        return f"{self.name}-{framework}"


def cases() -> tuple[Case, ...]:
    """Every family, backbone and kind of export."""
    uni, past = ShiftSpec(direction="unidirectional"), ShiftSpec(16, order="past_first")
    trn = HeadSpec("multiscale_relation", relation_width=16, hidden_width=16)
    small = ModelSpec("resnet10", 5, num_segments=4, width=8)
    msn = ModelSpec("resnet14", 5, num_segments=2, in_channels=15, width=8)
    return (
        Case("tsn", ModelSpec("mobilenet_v2", 5, num_segments=2, multi_label=True), uint8=True),
        Case("tsm", replace(small, shift=ShiftSpec(), temporal_pool=True)),
        Case("stream", replace(small, shift=uni), streaming=True),
        Case("stream-uint8", replace(small, shift=uni), uint8=True, streaming=True, formats=ONCE_EACH),
        Case("msn", replace(msn, motion=MotionSpec(window=2)), formats=ONCE_EACH),
        Case("tdn", replace(msn, num_segments=3, motion=tdn(3)), size=(80, 72), formats=ONCE_EACH),
        Case("gates", ModelSpec("pp_mobilenet_v3", 5, 2, shift=past), uint8=True),
        Case("attention", ModelSpec("pp_lcnet_v2", 5, 3, shift=replace(past, div=4), temporal_attention=True)),
        Case("trn", ModelSpec("bn_inception", 5, num_segments=3, head=trn)),
    )


def frames(case: Case, batch: int) -> np.ndarray:
    """Random uint8 frames (N, T * length, H, W, 3); streams have more of them."""
    count = STREAM_FRAMES if case.streaming else case.spec.num_segments * length(case)
    return np.random.default_rng(batch).integers(0, 256, (batch, count, *case.size, 3), np.uint8)


def length(case: Case) -> int:
    """Frames per segment."""
    return segment_length("rgb", case.spec.in_channels)


def checkpoint(case: Case, session: Session) -> Checkpoint:
    """A checkpoint with the weights of the case, the same in all frameworks."""
    pixels = replace(default_input(case.spec.backbone), resize=case.size, crop=case.size)
    tensors = smooth_weights(session.spec)
    return Checkpoint(tensors, case.spec, pixels, tuple("abcde"))


def clips(case: Case, batch: int, raw: bool) -> np.ndarray:
    """The frames as input of the checkpoint's session or, if `raw`, of an export that normalizes them itself."""
    pixels = default_input(case.spec.backbone)
    if raw:
        pixels = replace(pixels, channel_order="rgb", scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    return np.stack([stack_segments(normalize(clip, pixels), pixels, length(case)) for clip in frames(case, batch)])


def scores(session: Predictor, case: Case, batch: int, raw: bool = False) -> np.ndarray:
    """Logits (N, K), or (T, N, K) for every frame of a stream; probabilities if the export returns them."""
    logits = _run(session, case, clips(case, batch, raw))
    if not case.uint8:
        return logits
    if case.spec.multi_label:
        return np.asarray(1 / (1 + np.exp(-logits)))
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def _run(session: Predictor, case: Case, batch: np.ndarray) -> np.ndarray:
    if not case.streaming:
        return session.predict(batch)
    state, steps = None, []
    for step in batch.swapaxes(0, 1):
        logits, state = session.step(np.ascontiguousarray(step), state)
        steps.append(logits)
    return np.stack(steps)


def format_names(framework: str, case: Case) -> list[str]:
    """The lossless formats in which the framework writes a case."""
    exact = [entry for entry in FORMATS.values() if framework in entry.writers and not entry.lossy]
    if case.spec.backbone not in RESNETS:  # their ONNX files begin with the same traced program
        exact = [entry for entry in exact if entry.name != "torch"]
    if case.formats:
        exact = [entry for entry in exact if entry.name in case.formats and entry.writers[0] == framework]
    return [entry.name for entry in exact]


def main(framework: str, target: str) -> None:
    """Export every case in every format of a framework."""
    folder = Path(target)
    measured: dict[str, Any] = {}
    for case in cases():
        session = open_session(framework, case.spec)
        weights_of_case = checkpoint(case, session)
        for format_name in format_names(framework, case):
            options = ExportOptions(format_name, framework, case.uint8, case.streaming)
            exported = export_checkpoint(weights_of_case, options, folder, case.file_name(framework))
            reopened, description = open_exported(exported.path)
            assert description == exported.description
            arrays = {str(batch): scores(reopened, case, batch, raw=case.uint8) for batch in (1, 3)}
            np.savez(folder / f"{case.file_name(framework)}.{format_name}.npz", **arrays)
            measured[f"{case.name} {format_name}"] = description.measured["relative"]
    (folder / f"{framework}.json").write_text(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
