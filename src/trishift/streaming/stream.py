"""Frame-by-frame inference on live video."""

from __future__ import annotations

import numpy as np

from trishift.backends.contract import Predictor, State
from trishift.data.transforms import evaluation_views
from trishift.errors import DataError
from trishift.model.online import check_streamable
from trishift.model.spec import InputSpec
from trishift.streaming.source import Frame


class Stream:
    """State of N videos that advance together, one frame per step.

    The logits of a step depend on its frame and all previous ones. Their mean over T steps equals the clip network's
    logits for the same T frames. Time and memory per step are constant.

    Args:
        predictor: model in a framework, or exported with its state.
        input_spec: input format of the model, used by `step_image`.

    Attributes:
        num_frames: steps since the start or the last `reset`.

    Raises:
        RecipeError: the model cannot run frame by frame, see `online.check_streamable`.
    """

    def __init__(self, predictor: Predictor, input_spec: InputSpec) -> None:
        check_streamable(predictor.spec)
        self._predictor = predictor
        self._input = input_spec
        self.reset()

    def reset(self) -> None:
        """Discard the state; the next step starts new videos, of any number and size."""
        self.num_frames = 0
        self._state: State | None = None
        self._shape: tuple[int, ...] | None = None

    def step(self, frames: np.ndarray) -> np.ndarray:
        """Compute the logits of the next frame of N videos.

        Args:
            frames: (N, C, H, W) float32, normalized.

        Returns:
            (N, K) float32.

        Raises:
            DataError: C differs from the model's, or N, H or W from the previous frame's.

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
        """Compute the logits of the next picture of a single video.

        The picture is resized, center cropped and normalized as in evaluation.

        Args:
            image: (H, W, 3) uint8 RGB; H and W may change between frames.

        Returns:
            (K,) float32.

        Raises:
            DataError: `image` has another shape or type, or the model needs more than single pictures (flow,
                differences).
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataError(f"stream: a picture must be (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
        if (self._input.modality, self._predictor.spec.in_channels) != ("rgb", 3):
            raise DataError(f"stream: the model needs {self._input.modality} of several frames, not single pictures")
        return self.step(evaluation_views(image[None], self._input)[0])[0]

    def observe(self, frame: Frame, newest: int | None = None) -> np.ndarray:
        """Compute the logits of the next frame of a single video, (K,) float32; see `step_image`.

        Args:
            frame: the frame.
            newest: number of the newest frame that waits already; without effect.
        """
        return self.step_image(frame.image)

    def _check(self, shape: tuple[int, ...]) -> None:
        channels = self._predictor.spec.in_channels
        if len(shape) != 4 or shape[1] != channels:
            raise DataError(f"stream: frames must be (N, {channels}, H, W), not {shape}")
        if self._shape is not None and shape != self._shape:
            raise DataError(f"stream: frames changed from {self._shape} to {shape}; call reset() to start new videos")
        self._shape = shape
