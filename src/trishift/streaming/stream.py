"""Videos that a model sees frame by frame, while they happen."""

from __future__ import annotations

import numpy as np

from trishift.backends.contract import Predictor, State
from trishift.data.transforms import evaluation_views
from trishift.errors import DataError
from trishift.model.online import check_streamable
from trishift.model.spec import InputSpec


class Stream:
    """N videos that advance together, one frame a step; the state between frames is kept here.

    The logits of a step are those of this frame, informed by all frames before. Their mean over T steps equals the
    clip network's logits of the same T frames. Time and memory of a step do not depend on the steps before.

    Args:
        predictor: runs the model, in a framework or exported with its state.
        input_spec: the pixels it expects, for `step_image`.

    Attributes:
        num_frames: steps since the beginning or the last `reset`.

    Raises:
        RecipeError: the model cannot run frame by frame, see `online.check_streamable`.
    """

    def __init__(self, predictor: Predictor, input_spec: InputSpec) -> None:
        check_streamable(predictor.spec)
        self._predictor = predictor
        self._input = input_spec
        self.reset()

    def reset(self) -> None:
        """Forget all frames; the next step begins new videos, of any number and size."""
        self.num_frames = 0
        self._state: State | None = None
        self._shape: tuple[int, ...] | None = None

    def step(self, frames: np.ndarray) -> np.ndarray:
        """Logits (N, K) float32 of the next frame (N, C, H, W) of N videos, normalized float32.

        Raises:
            DataError: the channels are not the model's, or N, H or W changed since the frame before.

        Example:
            >>> stream = trishift.load("model.safetensors").stream()
            >>> for frame in np.zeros((3, 1, 3, 32, 32), np.float32):  # three frames of one video
            ...     logits = stream.step(frame)
            >>> logits.shape, stream.num_frames
            ((1, 9), 3)
        """
        frames = np.asarray(frames, np.float32)
        self._check(frames.shape)
        logits, self._state = self._predictor.step(frames, self._state)
        self.num_frames += 1
        return logits

    def step_image(self, image: np.ndarray) -> np.ndarray:
        """Logits (K,) float32 of the next picture (H, W, 3) uint8 RGB of one video; sizes may change on the way.

        The picture is resized, cropped in the center and normalized as in the evaluation of clips.

        Raises:
            DataError: it is not such a picture, or the model does not look at single pictures (flow, differences).
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataError(f"stream: a picture is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
        if (self._input.modality, self._predictor.spec.in_channels) != ("rgb", 3):
            raise DataError(f"stream: the model sees {self._input.modality} of several frames, not single pictures")
        return self.step(evaluation_views(image[None], self._input)[0])[0]

    def _check(self, shape: tuple[int, ...]) -> None:
        channels = self._predictor.spec.in_channels
        if len(shape) != 4 or shape[1] != channels:
            raise DataError(f"stream: a step takes frames (N, {channels}, H, W), not {shape}")
        if self._shape is not None and shape != self._shape:
            raise DataError(f"stream: frames changed from {self._shape} to {shape}; call reset() to begin new videos")
        self._shape = shape
