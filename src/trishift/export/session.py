"""Exported programs as predictors: evaluation, prediction and streaming use them like checkpoints.

Shape legend: N clips or streams, T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trishift.backends.contract import Program, State
from trishift.backends.program import ProgramSpec
from trishift.errors import DataError, RecipeError
from trishift.evaluation.metrics import to_logits
from trishift.model.online import state_shapes
from trishift.model.pixels import Normalization
from trishift.model.spec import ModelSpec
from trishift.model.tensors import Tensors


class Deployed:
    """What predictors without a network of a framework have in common.

    Attributes:
        framework: name of the runtime.
        spec: the network.
    """

    framework: str
    spec: ModelSpec
    has_layers = False
    last_form = "a program"
    rank = 0
    world_size = 1

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Shifted block to the shape of its state buffer."""
        return state_shapes(self.spec, height, width)

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """Unavailable for programs, as are `classify` and `head_gradients`.

        Raises:
            RecipeError: always.
        """
        raise RecipeError(f"{self.framework}: a program exposes no layers; load its checkpoint without a runtime")

    def classify(self, features: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Unavailable, see `features`."""
        return self.features(features, ())["logits"]

    def head_gradients(
        self, features: np.ndarray, classes: np.ndarray, relations: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        """Unavailable, see `features`."""
        return self.features(features, ())["pooled"]

    def accept_pixels(self, rule: Normalization) -> bool:
        """False: programs take float32 clips."""
        return False

    def prefetch(self, clips: np.ndarray) -> None:
        """Do nothing: runtimes copy clips themselves."""

    def gather(self, array: np.ndarray) -> np.ndarray:
        """Return the array: there are no other ranks."""
        return array

    def close(self) -> None:
        """Do nothing: there is no process group to leave."""


class RuntimeSession(Deployed):
    """An exported program with the interface of a session: see `backends.contract.Predictor`.

    Programs that take uint8 frames receive RGB clips of 0..255 (see `Description.input`). Their probabilities are
    converted back to logits: by the logarithm (softmax and averages ignore the lost constant), or, for multi-label
    models, by the inverse sigmoid (limited to about 16 in float32).
    """

    def __init__(self, program: Program, program_spec: ProgramSpec, runtime: str, name: str) -> None:
        self.framework = runtime
        self.spec = program_spec.model
        self._program = program
        self._program_spec = program_spec
        self._name = name

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Clips (N, T, C, H, W) float32 to logits (N, K); the relations are those of the export.

        Raises:
            DataError: the program takes clips of a different shape.
        """
        self.check_clips(clips.shape)
        if self._program_spec.streaming:
            return self._mean_of_steps(clips)
        return self._logits(self._run((self._pixels(clips),))[0])

    def _mean_of_steps(self, clips: np.ndarray) -> np.ndarray:
        """Mean logits over the frames of each clip, for streaming programs."""
        state, logits = None, []
        for frames in clips.swapaxes(0, 1):
            scores, state = self.step(frames, state)
            logits.append(scores)
        mean: np.ndarray = np.mean(logits, axis=0)
        return mean

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """Advance N streams by one frame (N, C, H, W) float32; returns logits (N, K) and the new state.

        Raises:
            RecipeError: the program takes whole clips.
            DataError: the program takes frames of a different shape.
        """
        if not self._program_spec.streaming:
            raise RecipeError(f"{self._name}: takes whole clips; export with --streaming to run it frame by frame")
        self._check(frames.shape, (self.spec.in_channels, *self._program_spec.size), "frames")
        if state is None:
            state = tuple(port.example(len(frames)) for port in self._program_spec.inputs[1:])
        scores, *present = self._run((self._pixels(frames), *state))
        return self._logits(scores), tuple(present)

    def check_clips(self, shape: tuple[int, ...]) -> None:
        """Refuse clips of a shape (N, T, C, H, W) that the program does not take.

        Raises:
            DataError: names both shapes.
        """
        model = self.spec
        self._check(shape, (model.num_segments, model.in_channels, *self._program_spec.size), "clips")

    def _check(self, shape: tuple[int, ...], expected: tuple[int, ...], what: str) -> None:
        if shape[1:] != expected:
            given, wanted = (" x ".join(map(str, sizes)) for sizes in (shape[1:], expected))
            remedy = "sample as many frames" if shape[-2:] == expected[-2:] else "export it with another --size"
            raise DataError(f"{self._name}: takes {what} of {wanted}, not {given}; {remedy}")

    def _pixels(self, clips: np.ndarray) -> np.ndarray:
        """Convert (..., C, H, W) float32 to the program's input."""
        if self._program_spec.pixels is None:
            return np.ascontiguousarray(clips, np.float32)
        return np.ascontiguousarray(np.moveaxis(clips, -3, -1).round().clip(0, 255).astype(np.uint8))

    def _logits(self, scores: np.ndarray) -> np.ndarray:
        return scores if self._program_spec.pixels is None else to_logits(scores, self.spec.multi_label)

    def _run(self, inputs: tuple[Any, ...]) -> list[np.ndarray]:
        """Run the program; if its batch size is fixed, in pieces, with the last one padded with zeros."""
        batch, total = self._program_spec.batch, len(inputs[0])
        if batch is None:
            return self._program.run(inputs)
        pieces = []
        for start in range(0, total, batch):
            piece = tuple(_fill(array[start : start + batch], batch) for array in inputs)
            pieces.append(self._program.run(piece))
        return [np.concatenate(outputs)[:total] for outputs in zip(*pieces, strict=True)]


def _fill(array: np.ndarray, batch: int) -> np.ndarray:
    padding = np.zeros((batch - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, padding])
