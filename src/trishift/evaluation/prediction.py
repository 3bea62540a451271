"""What a model predicts for a clip.

Shape legend: V videos, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from trishift.evaluation.calibration import NOTHING, Calibration
from trishift.io.terminal import printable


class Miss(NamedTuple):
    """A clip that could not be read.

    Attributes:
        name: the clip.
        reason: one line that names it.
    """

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Prediction(list[tuple[str, float]]):
    """A model's prediction for one clip, also the list of its likeliest classes: [(label, probability), ...].

    So it compares and `json.dumps` writes it like that list; `to_dict` has the name and the class numbers, too.

    Attributes:
        name: the clip.
        names: K class names.
        scores: (K,) float64, probability of each class.
        applies: (K,) bool, the predicted classes of models with thresholds (see `Calibration`); else None.
        time: seconds that reading and computing took, the clip's share of its batch.
        top_k: classes in the list; it is `top(top_k)`.

    Example:
        >>> import json
        >>> from trishift.evaluation.prediction import Prediction
        >>> prediction = Prediction("clip.mp4", ("wave", "clap", "nod"), np.array([0.7, 0.2, 0.1]))
        >>> prediction.top(2), prediction.predicted
        ([('wave', 0.7), ('clap', 0.2)], ('wave',))
        >>> prediction[0], len(prediction)
        (('wave', 0.7), 3)
        >>> json.dumps(prediction)
        '[["wave", 0.7], ["clap", 0.2], ["nod", 0.1]]'
    """

    name: str
    names: tuple[str, ...]
    scores: np.ndarray
    applies: np.ndarray | None = None
    time: float = field(default=0.0)
    top_k: int = 5

    def __post_init__(self) -> None:
        self.extend(self.top(self.top_k))

    @property
    def predicted(self) -> tuple[str, ...]:
        """Names of the predicted classes, most likely first; empty: nothing."""
        order = self.classes(1)
        return tuple(self.names[c] for c in order if self.applies is None or self.applies[c])

    def classes(self, k: int = 5) -> list[int]:
        """Numbers of the k most likely classes and of all other predicted ones, most likely first."""
        order = np.argsort(-self.scores, kind="stable").tolist()
        if self.applies is None:
            return order[:k]
        return [c for place, c in enumerate(order) if place < k or self.applies[c]]

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k most likely classes and all other predicted ones: [(label, probability), ...]."""
        return [(self.names[c], float(self.scores[c])) for c in self.classes(k)]

    def to_dict(self, k: int = 5) -> dict[str, Any]:
        """The prediction as JSON types, as in the files of `trishift infer`.

        {"video", "predictions": [{"class", "label", "probability"}]} with the classes of `top(k)`. For models with
        thresholds, each of them also has `applies`, and `labels` lists those that do; an empty list is nothing.
        """
        entries: list[dict[str, Any]] = [
            {"class": c, "label": self.names[c], "probability": float(self.scores[c])} for c in self.classes(k)
        ]
        if self.applies is None:
            return {"video": self.name, "predictions": entries}
        for entry in entries:
            entry["applies"] = bool(self.applies[entry["class"]])
        return {"video": self.name, "labels": [e["label"] for e in entries if e["applies"]], "predictions": entries}

    def text(self, k: int = 5) -> str:
        """The classes of `top(k)` in one line."""
        texts = [f"{self.names[c]} {self.scores[c]:.1%}" for c in self.classes(k)]
        if self.applies is not None:
            applies = (self.applies[c] for c in self.classes(k))
            texts = [f"[{text}]" if does else text for text, does in zip(texts, applies, strict=True)]
        nothing = "" if self.predicted else f"{NOTHING}; "
        return printable(f"{self.name}: {nothing}{', '.join(texts)}")

    def __str__(self) -> str:
        return self.text()


def predictions_of(
    names: Sequence[str],
    logits: np.ndarray,
    labels: Sequence[str],
    calibration: Calibration = Calibration(),  # noqa: B008 (immutable)
    time: float = 0.0,
) -> list[Prediction]:
    """The predictions for V videos.

    Args:
        names: the videos.
        logits: (V, K).
        labels: K class names.
        calibration: turns logits into probabilities and predicted classes.
        time: seconds that each of them took.

    Example:
        >>> from trishift.evaluation.prediction import predictions_of
        >>> logits = np.log([[0.7, 0.2, 0.1]])
        >>> [prediction] = predictions_of(["clip.mp4"], logits, ("wave", "clap", "nod"))
        >>> print(prediction.text(2))
        clip.mp4: wave 70.0%, clap 20.0%
    """
    scores, classes = calibration.probabilities(logits), tuple(labels)
    applies = calibration.predicted(scores)
    return [
        Prediction(name, classes, row, None if applies is None else applies[place], time)
        for place, (name, row) in enumerate(zip(names, scores, strict=True))
    ]
