"""Classify the frames of a source one by one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trishift.streaming.smoothing import Smoother
from trishift.streaming.sources import Frame
from trishift.streaming.stream import Stream


@dataclass(frozen=True)
class Observation:
    """What is shown after a frame.

    Attributes:
        frame: number of the frame in its source.
        time: seconds since the source's first frame.
        label: number of the class.
        name: its name.
        probability: of the class, under the averaged logits.
    """

    frame: int
    time: float
    label: int
    name: str
    probability: float

    def as_json(self) -> dict[str, Any]:
        """Plain types; times in milliseconds' and probabilities in 1/10,000 precision."""
        return {**asdict(self), "time": round(self.time, 3), "probability": round(self.probability, 4)}

    def __str__(self) -> str:
        return f"{self.time:8.2f} s  frame {self.frame:6d}  {self.name} ({self.probability:.1%})"


def watch(
    frames: Iterable[Frame],
    stream: Stream,
    smoother: Smoother,
    labels: Sequence[str],
    show: Callable[[np.ndarray, Observation], None] = lambda image, observation: None,
) -> Generator[Observation, None, None]:
    """An observation for each frame; a source that was opened again begins a new video.

    Args:
        frames: what to look at.
        stream: one video.
        smoother: follows its logits.
        labels: K class names.
        show: gets every picture (H, W, 3) uint8 RGB and what was seen in it.
    """
    connection = 0
    for frame in frames:
        if frame.connection != connection:
            connection = frame.connection
            stream.reset()
            smoother.reset()
        shown = smoother.update(stream.step_image(frame.image))
        observation = Observation(frame.number, frame.time, shown.label, labels[shown.label], shown.probability)
        show(frame.image, observation)
        yield observation
