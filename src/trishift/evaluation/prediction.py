"""Top-k predictions and the files that hold them."""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trishift.checkpoints.atomic import write_atomically
from trishift.errors import DataError
from trishift.evaluation.metrics import softmax


@dataclass(frozen=True)
class Prediction:
    """What a model says of one video: class indices and probabilities, most likely first."""

    name: str
    classes: tuple[int, ...]
    probabilities: tuple[float, ...]
    labels: tuple[str, ...]

    def pairs(self) -> list[tuple[str, float]]:
        """[(label, probability), ...]."""
        return list(zip(self.labels, self.probabilities, strict=True))

    def __str__(self) -> str:
        return f"{self.name}: " + ", ".join(f"{label} {value:.1%}" for label, value in self.pairs())


def top_predictions(names: Sequence[str], logits: np.ndarray, labels: Sequence[str], k: int) -> list[Prediction]:
    """The k most likely classes of (V, K) logits; k is cut to K."""
    probabilities = softmax(logits.astype(np.float64))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return [
        Prediction(
            name,
            tuple(int(c) for c in classes),
            tuple(float(row[c]) for c in classes),
            tuple(labels[c] for c in classes),
        )
        for name, row, classes in zip(names, probabilities, order, strict=True)
    ]


def write_predictions(predictions: Sequence[Prediction], path: Path) -> None:
    """Write predictions in the form that the file's suffix names.

    `.json`: a list of {video, predictions: [{class, label, probability}]}. `.csv`: video, rank, class, label,
    probability. `.pkl`: the list of (video, [probabilities], [class indices]) that Paddle's TSM wrote.

    Raises:
        DataError: another suffix.
    """
    writers = {".json": _json, ".csv": _csv, ".pkl": _pickle, ".pickle": _pickle}
    if path.suffix not in writers:
        raise DataError(f"{path}: unknown form {path.suffix!r}; use {', '.join(writers)}")
    content = writers[path.suffix](predictions)
    write_atomically(path, lambda file: file.write(content))


def _json(predictions: Sequence[Prediction]) -> bytes:
    rows = [
        {
            "video": p.name,
            "predictions": [
                {"class": c, "label": label, "probability": value}
                for c, (label, value) in zip(p.classes, p.pairs(), strict=True)
            ],
        }
        for p in predictions
    ]
    return (json.dumps(rows, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def _csv(predictions: Sequence[Prediction]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["video", "rank", "class", "label", "probability"])
    for p in predictions:
        for rank, (c, (label, value)) in enumerate(zip(p.classes, p.pairs(), strict=True), 1):
            writer.writerow([p.name, rank, c, label, f"{value:.6f}"])
    return buffer.getvalue().encode("utf-8", "surrogateescape")


def _pickle(predictions: Sequence[Prediction]) -> bytes:
    return pickle.dumps([(p.name, list(p.probabilities), list(p.classes)) for p in predictions], protocol=2)
