"""Scores of videos as files hold them: those of our evaluations, and the pickles of MSN's and TDN's tests.

result.json            an evaluation, whose scores lie beside it
result.scores.npz      its scores, see `reports.py`
0_crop1.pkl            one view of every video, a list of [(1, K) float32 logits, label]; videos have no names
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

PICKLES = frozenset({".pkl", ".pickle"})
_ARRAYS = ("names", "scores", "targets", "labels")


@dataclass(frozen=True)
class Scores:
    """What a model says of V videos.

    Attributes:
        source: the file or folder.
        logits: (V, K) float32, of all views together.
        targets: (V,) class indices, or (V, K) zeros and ones.
        names: V video names, None where the file has none and only its order counts.
        labels: K class names, None where the file has none.
    """

    source: Path
    logits: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None


def read_scores(path: Path) -> Scores:
    """Read a score file of any kind (see the module's docstring).

    Raises:
        DataError: it is missing or damaged, or pickles of a folder hold different videos.
    """
    if path.is_dir():
        return _read_views(path, sorted(each for each in path.iterdir() if each.suffix in PICKLES))
    if path.suffix in PICKLES:
        return _read_pickle(path)
    arrays = path.with_suffix(".scores.npz") if path.suffix == ".json" else path
    if not arrays.is_file():
        beside = f"; the scores of {path.name} lie beside it" if arrays != path else ""
        raise DataError(f"{arrays}: there is no such score file{beside}; evaluate with --output")
    return _read_arrays(arrays)


def _read_arrays(path: Path) -> Scores:
    try:
        with np.load(path, allow_pickle=False) as file:
            names, scores, targets, labels = (file[name] for name in _ARRAYS)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no score file of an evaluation ({error}); evaluate again") from None
    if scores.ndim != 2 or scores.shape != (len(names), len(labels)) or len(targets) != len(names):
        raise DataError(f"{path}: names, scores, targets and labels do not fit together; evaluate again")
    return Scores(path, scores, targets, tuple(names.tolist()), tuple(labels.tolist()))


def _read_pickle(path: Path) -> Scores:
    try:
        with path.open("rb") as file:
            rows = unpickle(file, NUMPY)
        pairs = [(_logits(row[0]), int(row[1])) for row in rows]
        logits, targets = np.concatenate([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    except CheckpointError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # damaged pickles fail in any way
        raise DataError(f"{path}: is no list of [scores, label] as MSN's tests write it ({error})") from None
    if not (targets.min() >= 0 and targets.max() < logits.shape[1]):
        raise DataError(f"{path}: has labels that are none of its {logits.shape[1]} classes; was it cut off?")
    return Scores(path, logits, targets)


def _logits(entry: Any) -> np.ndarray:
    """(1, K) float32 of an array or a list of numbers."""
    array = entry.array if isinstance(entry, PickledArray) else np.asarray(entry, np.float32)
    return array.astype(np.float32).reshape(1, -1)


def _read_views(folder: Path, files: list[Path]) -> Scores:
    """The mean over views of their probabilities, as MSN's and TDN's ensembles have it."""
    if not files:
        raise DataError(f"{folder}: holds no .pkl files; give the folder of one model's views, or a score file")
    views = [_read_pickle(file) for file in files]
    for view in views[1:]:
        if not np.array_equal(view.targets, views[0].targets) or view.logits.shape != views[0].logits.shape:
            raise DataError(f"{view.source}: holds other videos than {views[0].source}; keep one folder a model")
    mean = np.mean([softmax(view.logits.astype(np.float64)) for view in views], axis=0)
    return Scores(folder, to_logits(mean, multi_label=False).astype(np.float32), views[0].targets)


def write_pickle(evaluation: Evaluation, path: Path) -> None:
    """Write scores as a view in MSN's form.

    Raises:
        DataError: videos have several labels, which the form cannot hold.
    """
    if evaluation.targets.ndim != 1:
        raise DataError(f"{path}: MSN's form has one label a video; use .json")
    rows = [
        [row[None].astype(np.float32), int(target)]
        for row, target in zip(evaluation.scores, evaluation.targets, strict=True)
    ]
    write_atomically(path, lambda file: file.write(pickle.dumps(rows, protocol=2)))
