"""Score files: those of Trishift's evaluations, and the pickles of MSN's and TDN's test scripts.

result.json            an evaluation; its scores are in the file below
result.scores.npz      its scores, see `reporting/evaluation.py`
0_crop1.pkl            one view per video, a list of [(1, K) float32 logits, label]; videos have no names
folder of .pkl         the views of one model
"""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trishift.errors import CheckpointError, DataError
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import softmax, to_logits
from trishift.io.atomic import write_atomically
from trishift.io.pickles import NUMPY, PickledArray, unpickle
from trishift.io.wording import nearest_path

PICKLES = frozenset({".pkl", ".pickle"})
_ARRAYS = ("names", "scores", "targets", "labels")


@dataclass(frozen=True)
class Scores:
    """A model's scores of V videos.

    Attributes:
        source: file or folder.
        logits: (V, K) float32, combined over all views.
        targets: (V,) class indices, or (V, K) zeros and ones.
        names: V video names; None if the file has none, so that only the order identifies videos.
        labels: K class names; None if the file has none.
    """

    source: Path
    logits: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None


def read_scores(path: Path) -> Scores:
    """Read a score file of any kind (see the module docstring).

    Raises:
        DataError: it is missing or damaged, or the pickles in a folder contain different videos.
    """
    if path.is_dir():
        return _read_views(path, sorted(each for each in path.iterdir() if each.suffix in PICKLES))
    if path.suffix in PICKLES:
        return _read_pickle(path)
    arrays = path.with_suffix(".scores.npz") if path.suffix == ".json" else path
    if not arrays.is_file():
        beside = f"; the scores of {path.name} belong beside it" if arrays != path else ""
        raise DataError(f"{arrays}: no such score file{beside}{nearest_path(arrays) or '; evaluate with --output'}")
    return _read_arrays(arrays)


def _read_arrays(path: Path) -> Scores:
    try:
        with np.load(path, allow_pickle=False) as file:
            names, scores, targets, labels = (file[name] for name in _ARRAYS)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a score file of an evaluation ({error}); evaluate again") from None
    if scores.ndim != 2 or scores.shape != (len(names), len(labels)) or len(targets) != len(names):
        raise DataError(f"{path}: names, scores, targets and labels differ in length; evaluate again")
    return Scores(path, scores, targets, tuple(names.tolist()), tuple(labels.tolist()))


def _read_pickle(path: Path) -> Scores:
    try:
        with path.open("rb") as file:
            rows = unpickle(file, NUMPY)
        pairs = [(_logits(row[0]), int(row[1])) for row in rows]
        logits, targets = np.concatenate([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    except CheckpointError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # damaged pickles raise arbitrary errors
        raise DataError(f"{path}: not a list of [scores, label] as MSN's test scripts write it ({error})") from None
    if not (targets.min() >= 0 and targets.max() < logits.shape[1]):
        raise DataError(f"{path}: has labels outside its {logits.shape[1]} classes; it may be truncated")
    return Scores(path, logits, targets)


def _logits(entry: Any) -> np.ndarray:
    """(1, K) float32 of an array or a list of numbers."""
    array = entry.array if isinstance(entry, PickledArray) else np.asarray(entry, np.float32)
    return array.astype(np.float32).reshape(1, -1)


def _read_views(folder: Path, files: list[Path]) -> Scores:
    """The mean probabilities over views, as in MSN's and TDN's ensembles."""
    if not files:
        raise DataError(f"{folder}: contains no .pkl files; give a folder with one model's views, or a score file")
    views = [_read_pickle(file) for file in files]
    for view in views[1:]:
        if not np.array_equal(view.targets, views[0].targets) or view.logits.shape != views[0].logits.shape:
            raise DataError(f"{view.source}: contains other videos than {views[0].source}; use one folder per model")
    mean = np.mean([softmax(view.logits.astype(np.float64)) for view in views], axis=0)
    return Scores(folder, to_logits(mean, multi_label=False).astype(np.float32), views[0].targets)


def write_pickle(evaluation: Evaluation, path: Path) -> None:
    """Write scores as one view in MSN's format.

    Raises:
        DataError: the evaluation is multi-label, which the format cannot represent.
    """
    if evaluation.targets.ndim != 1:
        raise DataError(f"{path}: MSN's format is single-label; use .json")
    rows = [
        [row[None].astype(np.float32), int(target)]
        for row, target in zip(evaluation.scores, evaluation.targets, strict=True)
    ]
    write_atomically(path, lambda file: file.write(pickle.dumps(rows, protocol=2)))
