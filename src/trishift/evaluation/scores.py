"""Score files: those of Trishift's evaluations, and the pickles of MSN's and TDN's test scripts.

result.json            an evaluation; its scores are in the file below
result.scores.npz      its scores: names (V,), scores (V, K) float32 logits averaged over views, targets (V,) or (V, K),
                       labels (K,), and groups (V,) if they are known
held_out.json          the same for a fine-tuning: each clip's scores are of the fold that held it out
0_crop1.pkl            one view per video, a list of [(1, K) float32 logits, label]; videos have no names
folder of .pkl         the views of one model
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trishift.errors import CheckpointError, DataError, brief
from trishift.evaluation.evaluator import Evaluation
from trishift.evaluation.metrics import softmax, to_logits
from trishift.io.atomic import write_atomically
from trishift.io.npz import has_array, read_npz, write_npz
from trishift.io.pickles import NUMPY, PickledArray, unpickle
from trishift.io.regular import check_regular
from trishift.io.wording import counted, nearest_path

HELD_OUT, SCORES = "held_out.json", ".scores.npz"
PICKLES = frozenset({".pkl", ".pickle"})
_INFLATION = 50  # of a pickle's arrays in memory over bytes on disk
_log = logging.getLogger(__name__)
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
        groups: V groups of videos that belong together; None if the file has none.
    """

    source: Path
    logits: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None


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


def evaluation_of_model(scores: Scores, labels: tuple[str, ...], multi_label: bool, protocol: str = "") -> Evaluation:
    """The evaluation of a model in a score file, without the videos whose label is unknown.

    Args:
        scores: of the model.
        labels: its K class names.
        multi_label: whether it predicts several labels per video.
        protocol: description of the protocol.

    Raises:
        DataError: the scores are those of another model.
    """
    if scores.logits.shape[1] != len(labels) or scores.labels not in (None, labels):
        raise DataError(f"{scores.source}: has other classes than the checkpoint; evaluate this checkpoint")
    if multi_label != (scores.targets.ndim == 2):
        kinds = ("one label", "several labels")
        raise DataError(
            f"{scores.source}: has {kinds[not multi_label]} per video, but the model {kinds[multi_label]}; evaluate "
            "this checkpoint"
        )
    known = np.ones(len(scores.targets), bool) if multi_label else scores.targets >= 0
    names = np.array(scores.names or [str(number) for number in range(len(known))], object)
    if not known.all():
        _log.warning("%s: %s without a label left out", scores.source, counted(int((~known).sum()), "video"))
    groups = None if scores.groups is None else np.array(scores.groups, object)[known].tolist()
    return Evaluation(protocol, labels, names[known].tolist(), scores.logits[known], scores.targets[known], [], groups)


def _read_arrays(path: Path) -> Scores:
    try:
        names, scores, targets, labels = read_npz(path, _ARRAYS)
        groups = read_npz(path, ["groups"])[0] if has_array(path, "groups") else None
    except ValueError as error:
        raise DataError(f"{path}: not a score file of an evaluation ({error}); evaluate again") from None
    kinds = [names.dtype.kind, labels.dtype.kind, scores.dtype.kind]
    if kinds != ["U", "U", "f"] or targets.dtype.kind not in "iuf" or targets.ndim not in (1, 2):
        raise DataError(f"{path}: names, scores, targets or labels have the wrong type; evaluate again")
    if [names.ndim, labels.ndim] != [1, 1] or scores.shape != (len(names), len(labels)) or len(targets) != len(names):
        raise DataError(f"{path}: names, scores, targets and labels differ in length; evaluate again")
    if groups is not None and (groups.dtype.kind != "U" or groups.shape != names.shape):
        raise DataError(f"{path}: its groups are not one text per video; evaluate again")
    _check_values(path, scores, targets)
    texts = (None if array is None else tuple(array.tolist()) for array in (names, labels, groups))
    return Scores(path, scores, targets, *texts)


def _check_values(path: Path, scores: np.ndarray, targets: np.ndarray) -> None:
    """Scores must be finite, and labels classes, or -1 for unknown ones; (V, K) in multi-label sets."""
    if not np.isfinite(scores).all():
        raise DataError(f"{path}: has scores that are infinite or not numbers; check the weights, then evaluate again")
    if targets.ndim == 2:
        valid = targets.shape == scores.shape and bool(np.isin(targets, (0, 1)).all())
    else:
        valid = targets.dtype.kind in "iu" and bool(((targets >= -1) & (targets < scores.shape[1])).all())
    if not valid or not scores.shape[1]:
        raise DataError(f"{path}: has labels outside its {scores.shape[1]} classes; it may be truncated")


def _read_pickle(path: Path) -> Scores:
    try:
        check_regular(path)
        with path.open("rb") as file:
            rows = unpickle(file, NUMPY)
        size = path.stat().st_size
        pairs = []
        for row in rows:
            pairs.append((_logits(row[0]), int(row[1])))
            size -= pairs[-1][0].nbytes // _INFLATION
            if size < 0:
                raise ValueError("it expands to far more than its size")
        logits, targets = np.concatenate([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    except CheckpointError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # damaged pickles raise arbitrary errors
        raise DataError(
            f"{path}: not a list of [scores, label] as MSN's test scripts write it ({brief(error)})"
        ) from None
    if targets.dtype.kind != "i" or targets.min() < 0:
        raise DataError(f"{path}: has labels outside its {logits.shape[1]} classes; it may be truncated")
    _check_values(path, logits, targets)
    return Scores(path, logits, targets)


def _logits(entry: Any) -> np.ndarray:
    """(1, K) float32 of an array, or of a list of numbers, which may be inside another list."""
    if isinstance(entry, PickledArray):
        return entry.array.astype(np.float32).reshape(1, -1)
    if isinstance(entry, list) and len(entry) == 1 and isinstance(entry[0], list):
        entry = entry[0]
    if not isinstance(entry, list | tuple) or not all(isinstance(value, int | float) for value in entry):
        raise ValueError("the scores of a video are not numbers")
    return np.array(entry, np.float32).reshape(1, -1)


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


def write_scores(evaluation: Evaluation, path: Path) -> None:
    """Write the scores of an evaluation; see the module docstring for the arrays."""
    texts: dict[str, Sequence[str]] = {"names": evaluation.names, "labels": evaluation.labels}
    if evaluation.groups is not None:
        texts["groups"] = evaluation.groups
    arrays = {
        "scores": evaluation.scores,
        "targets": evaluation.targets,
        **{name: np.array(values, np.str_) for name, values in texts.items()},
    }
    write_npz(path, arrays)


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
