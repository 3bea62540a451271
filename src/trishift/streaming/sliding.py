"""Live classification with models that need whole clips: a window over the last seconds that moves with the video."""

from __future__ import annotations

from collections import deque

import numpy as np

from trishift.backends.contract import Predictor
from trishift.data.protocol import Protocol
from trishift.errors import DataError
from trishift.model.spec import InputSpec
from trishift.streaming.source import Frame
from trishift.streaming.timeline import WindowScorer
from trishift.streaming.windows import HeldFrame, Window, check_lengths

_SAME = 1e-6  # seconds; times closer than this are equal
_MOST_FRAMES = 4096  # in the buffer


class SlidingStream:
    """The last seconds of one video, classified like a clip every `hop` seconds.

    The logits are those of `infer` for a video of these frames. In between, frames only wait in the buffer.

    Args:
        predictor: any model.
        input_spec: input format of the model.
        length: seconds per window.
        hop: seconds from one window to the next.

    Attributes:
        num_frames: frames since the start or the last `reset`.
        num_windows: classified windows since then.

    Raises:
        RecipeError: a length is not positive, or `hop` exceeds `length`.
        DataError: the model needs optical flow.
    """

    def __init__(self, predictor: Predictor, input_spec: InputSpec, length: float, hop: float) -> None:
        check_lengths(length, hop)
        if input_spec.modality == "flow":
            raise DataError("stream: the model needs optical flow, which is not computed live; use trishift timeline")
        self._scorer = WindowScorer(predictor, input_spec, Protocol(), batch_size=1)
        self._length, self._hop = length, hop
        self.reset()

    def reset(self) -> None:
        """Discard the frames; the next one starts a new video."""
        self.num_frames = self.num_windows = 0
        self._held: deque[HeldFrame] = deque(maxlen=_MOST_FRAMES)
        self._due: float | None = None

    def observe(self, frame: Frame, newest: int | None = None) -> np.ndarray | None:
        """Add the next frame, and classify the window that ends with it if one is due.

        Args:
            frame: the frame.
            newest: number of the newest frame that waits already; the window ends with that one instead. None: no
                frame waits.

        Returns:
            (K,) float32 logits; None between two windows, and before the first one is full.
        """
        self.num_frames += 1
        self._due = frame.time + self._length if self._due is None else self._due
        step = frame.time - self._held[-1].time if self._held else 0.0
        end = frame.time + step  # the frame is shown until the next one comes
        self._held.append(HeldFrame(frame, self._scorer.crop))
        while self._held[0].time < end - self._length - _SAME:
            self._held.popleft()
        if end < self._due - _SAME or (newest is not None and newest > frame.number):
            return None
        self._due = max(self._due + self._hop, end)
        window = Window(self.num_windows, end - self._length, end, tuple(self._held), is_whole=True)
        self.num_windows += 1
        return self._scorer.logits([window], None)[0]
