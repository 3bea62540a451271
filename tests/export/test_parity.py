"""Every format, reopened, returns the logits of the PyTorch checkpoint for batch sizes 1 and 3."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.support import export_worker, isolated
from tests.support.export_worker import cases
from tests.support.installed import INSTALLED

from trishift.backends import FRAMEWORKS, open_session
from trishift.checkpoints.verification import TOLERANCE
from trishift.export.opening import open_exported

CASES = {case.name: case for case in cases()}
EXPORTS = [
    (name, framework, format_name)
    for name, case in CASES.items()
    for framework in FRAMEWORKS
    for format_name in export_worker.format_names(framework, case)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def exports(folder: Path) -> Path:
    """A folder with every case in every format."""
    for framework in INSTALLED:
        isolated.experiment("export_worker", framework, folder)
    return folder


@cache
def expected(name: str) -> dict[str, np.ndarray]:
    """Scores of the checkpoint in PyTorch."""
    case = CASES[name]
    session = open_session("pytorch", case.spec)
    session.load_tensors(export_worker.checkpoint(case, session).tensors)
    return {str(batch): export_worker.scores(session, case, batch) for batch in (1, 3)}


@pytest.mark.parametrize(("name", "framework", "format_name"), EXPORTS)
def test_exports_match_checkpoint_logits(exports: Path, name: str, framework: str, format_name: str) -> None:
    measured = json.loads((exports / f"{framework}.json").read_text())[f"{name} {format_name}"]
    assert set(measured) == {"1", "3"}
    with np.load(exports / f"{CASES[name].file_name(framework)}.{format_name}.npz") as arrays:
        for batch, scores in expected(name).items():
            difference = np.abs(arrays[batch] - scores).max() / np.abs(scores).max()
            assert difference < TOLERANCE
            assert measured[batch] < TOLERANCE


def test_stream_of_64_frames_matches_the_clip(exports: Path) -> None:
    case = CASES["stream"]
    session, _ = open_exported(exports / f"{case.file_name('pytorch')}.onnx")
    clip_spec = export_worker.replace(case.spec, num_segments=export_worker.STREAM_FRAMES)
    network = open_session("pytorch", clip_spec)
    network.load_tensors(export_worker.checkpoint(case, network).tensors)
    clips = export_worker.clips(case, 1, raw=False)
    steps = export_worker.scores(session, case, 1)
    logits = network.predict(clips)
    assert np.abs(steps.mean(0) - logits).max() / np.abs(logits).max() < TOLERANCE
