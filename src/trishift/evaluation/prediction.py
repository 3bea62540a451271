"""Predictions and their files."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from trishift.errors import DataError
from trishift.evaluation.calibration import NOTHING, Calibration
from trishift.io.atomic import make_folder, write_atomically
from trishift.io.terminal import printable


class Ranking(list[tuple[str, float]]):
    """The likely classes of a video, most likely first: [(label, probability), ...].

    Attributes:
        predicted: names of the predicted classes, at most one for models with one label per video; empty: nothing.
    """

    def __init__(self, pairs: Iterable[tuple[str, float]], predicted: tuple[str, ...]) -> None:
        super().__init__(pairs)
        self.predicted = predicted


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one video: class indices and probabilities, most likely first.

    Attributes:
        applies: for models with thresholds, whether each class is predicted (see `Calibration`); else None.
    """

    name: str
    classes: tuple[int, ...]
    probabilities: tuple[float, ...]
    labels: tuple[str, ...]
    applies: tuple[bool, ...] | None = None

    @property
    def predicted(self) -> tuple[str, ...]:
        """Names of the predicted classes; empty: nothing."""
        if self.applies is None:
            return self.labels[:1]
        return tuple(label for label, applies in zip(self.labels, self.applies, strict=True) if applies)

    def pairs(self) -> Ranking:
        """[(label, probability), ...]."""
        return Ranking(zip(self.labels, self.probabilities, strict=True), self.predicted)

    def __str__(self) -> str:
        texts = [f"{label} {value:.1%}" for label, value in self.pairs()]
        if self.applies is not None:
            texts = [f"[{text}]" if applies else text for text, applies in zip(texts, self.applies, strict=True)]
        nothing = "" if self.predicted else f"{NOTHING}; "
        return printable(f"{self.name}: {nothing}{', '.join(texts)}")


def top_predictions(
    names: Sequence[str],
    logits: np.ndarray,
    labels: Sequence[str],
    k: int,
    calibration: Calibration = Calibration(),  # noqa: B008 (immutable)
) -> list[Prediction]:
    """The k most likely classes of (V, K) logits, or all K classes if k is larger.

    All predicted classes are listed, which can be more than k with several labels per video.

    Example:
        >>> from trishift.evaluation.prediction import top_predictions
        >>> logits = np.log([[0.7, 0.2, 0.1]])
        >>> [prediction] = top_predictions(["clip.mp4"], logits, ("wave", "clap", "nod"), k=2)
        >>> print(prediction)
        clip.mp4: wave 70.0%, clap 20.0%
    """
    scores = calibration.probabilities(logits)
    return [_prediction(name, row, labels, k, calibration) for name, row in zip(names, scores, strict=True)]


def _prediction(name: str, scores: np.ndarray, labels: Sequence[str], k: int, calibration: Calibration) -> Prediction:
    order = np.argsort(-scores, kind="stable")
    applies = calibration.predicted(scores)
    listed = [int(c) for place, c in enumerate(order) if place < k or (applies is not None and applies[c])]
    return Prediction(
        name,
        tuple(listed),
        tuple(float(scores[c]) for c in listed),
        tuple(labels[c] for c in listed),
        None if applies is None else tuple(bool(applies[c]) for c in listed),
    )


class PredictionFile:
    """Predictions in the format of the file's suffix, for use in a `with` block.

    `.jsonl`: a line {video, predictions: [{class, label, probability}]} per video, written as soon as it is known.
    `.json`: a list of the same objects. `.csv`: video, rank, class, label, probability. For models with thresholds, all
    three record for each class whether it `applies` (CSV as 0 or 1), and JSON lists the `labels` that do; an empty list
    is nothing. `.pkl`: the list of (video, [probabilities], [class indices]) that Paddle's TSM wrote.

    All but `.jsonl` are written at the end of the block, atomically; if it ends in an error or is interrupted, they
    contain the predictions so far. Without any predictions, an existing file is left untouched.

    Args:
        path: the file.

    Raises:
        DataError: unknown suffix.
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in FORMATS:
            raise DataError(f"{path}: unknown format {path.suffix!r}; use {', '.join(FORMATS)}")
        self.path = path
        self._predictions: list[Prediction] = []
        self._lines: BinaryIO | None = None

    def add(self, prediction: Prediction) -> None:
        """Add the prediction of a video."""
        self._predictions.append(prediction)
        if self.path.suffix == LINES:
            self._lines = self._lines or self._opened()
            self._lines.write(_json_line(prediction))
            self._lines.flush()

    def _opened(self) -> BinaryIO:
        make_folder(self.path.parent)
        return self.path.open("wb")

    def __enter__(self) -> PredictionFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lines is not None:
            self._lines.close()
        elif self._predictions or error is None:
            content = FORMATS[self.path.suffix](self._predictions)
            write_atomically(self.path, lambda file: file.write(content))


def write_predictions(predictions: Sequence[Prediction], path: Path) -> None:
    """Write predictions in the format of the file's suffix, see `PredictionFile`.

    Raises:
        DataError: unknown suffix.
        OutputError: the file cannot be written.
    """
    with PredictionFile(path) as file:
        for prediction in predictions:
            file.add(prediction)


def _json_lines(predictions: Sequence[Prediction]) -> bytes:
    return b"".join(map(_json_line, predictions))


def _json_line(prediction: Prediction) -> bytes:
    return (json.dumps(json_row(prediction), ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def _json(predictions: Sequence[Prediction]) -> bytes:
    rows = [json_row(prediction) for prediction in predictions]
    return (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def json_row(p: Prediction) -> dict[str, Any]:
    """A prediction as in JSON files, see `PredictionFile`."""
    entries: list[dict[str, Any]] = [
        {"class": c, "label": label, "probability": value}
        for c, (label, value) in zip(p.classes, p.pairs(), strict=True)
    ]
    if p.applies is None:
        return {"video": p.name, "predictions": entries}
    for entry, applies in zip(entries, p.applies, strict=True):
        entry["applies"] = applies
    return {"video": p.name, "labels": [e["label"] for e in entries if e["applies"]], "predictions": entries}


def _csv(predictions: Sequence[Prediction]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    several = any(p.applies is not None for p in predictions)
    writer.writerow(["video", "rank", "class", "label", "probability", *(["applies"] if several else [])])
    for p in predictions:
        for place, (c, (label, value)) in enumerate(zip(p.classes, p.pairs(), strict=True)):
            applies = [] if p.applies is None else [int(p.applies[place])]
            writer.writerow([p.name, place + 1, c, label, f"{value:.6f}", *applies])
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def _pickle(predictions: Sequence[Prediction]) -> bytes:
    return pickle.dumps([(p.name, list(p.probabilities), list(p.classes)) for p in predictions], protocol=2)


LINES = ".jsonl"
FORMATS: dict[str, Callable[[Sequence[Prediction]], bytes]] = {
    ".json": _json,
    LINES: _json_lines,
    ".csv": _csv,
    ".pkl": _pickle,
    ".pickle": _pickle,
}
"""Suffix to the function that encodes a whole file."""
