"""Classify the frames or the windows of a source as they come."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trishift.evaluation.calibration import NOTHING
from trishift.streaming.sliding import SlidingStream
from trishift.streaming.smoothing import Smoother
from trishift.streaming.source import Frame
from trishift.streaming.stream import Stream


@dataclass(frozen=True)
class Observation:
    """The result displayed after a frame.

    Attributes:
        frame: number of the frame in its source.
        time: seconds since the source's first frame.
        label: class number.
        name: class name.
        probability: probability of the class under the averaged logits.
        labels: for models with thresholds, names of the predicted classes; empty: nothing. Otherwise None.
        multi_label: whether there can be several.
    """

    frame: int
    time: float
    label: int
    name: str
    probability: float
    labels: tuple[str, ...] | None = None
    multi_label: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the displayed classes: one, or all predicted classes of a model with thresholds."""
        return (self.name,) if self.labels is None else self.labels

    @property
    def caption(self) -> str:
        """The displayed classes as text; a single class with its probability."""
        if self.labels is not None and (self.multi_label or not self.labels):
            return ", ".join(self.labels) or NOTHING
        return f"{self.name} ({self.probability:.1%})"

    def as_json(self) -> dict[str, Any]:
        """Plain types, with times rounded to 1 ms and probabilities to 1/10,000."""
        entries = {**asdict(self), "time": round(self.time, 3), "probability": round(self.probability, 4)}
        del entries["multi_label"]
        return {name: value for name, value in entries.items() if value is not None}

    def __str__(self) -> str:
        return f"{self.time:8.2f} s  frame {self.frame:6d}  {self.caption}"


def watch(
    frames: Iterable[Frame],
    stream: Stream | SlidingStream,
    smoother: Smoother,
    labels: Sequence[str],
    show: Callable[[np.ndarray, Observation], None] | None = None,
    newest: Callable[[], int | None] = lambda: None,
) -> Generator[Observation, None, None]:
    """Yield an observation for each classified frame or window; a reopened source starts a new video.

    Args:
        frames: frames of one video.
        stream: computes their logits.
        smoother: selects the displayed class.
        labels: K class names.
        show: called with each picture, (H, W, 3) uint8 RGB, and the latest observation.
        newest: returns the number of the newest frame that waits.
    """
    connection = 0
    observation: Observation | None = None
    for frame in frames:
        if frame.connection != connection:
            connection = frame.connection
            stream.reset()
            smoother.reset()
        logits = stream.observe(frame, newest())
        if logits is not None:
            shown = smoother.update(logits)
            present = None if shown.present is None else tuple(labels[c] for c in shown.present)
            name = labels[shown.label]
            several = smoother.calibration.multi_label
            observation = Observation(frame.number, frame.time, shown.label, name, shown.probability, present, several)
        if show is not None and observation is not None:
            show(frame.image, observation)
        if logits is not None and observation is not None:
            yield observation
