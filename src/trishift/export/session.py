"""An exported program as a predictor: evaluation, prediction and streaming run it like a checkpoint.

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
from trishift.model.tensors import Tensors


class RuntimeSession:
    """What a `Session` is to a network: see `backends.contract.Predictor`.

    A program that takes uint8 frames is given clips of 0..255 in RGB (see `Description.input`), and its probabilities
    become logits again: their logarithms, of which softmax and averages do not see the constant that is lost, or, for
    several labels, the inverse of the sigmoid (float32 ends near 16).

    Attributes:
        framework: name of the runtime.
        spec: the network.
    """

    rank = 0
    world_size = 1

    def __init__(self, program: Program, program_spec: ProgramSpec, runtime: str, name: str) -> None:
        self.framework = runtime
        self.spec = program_spec.model
        self._program = program
        self._program_spec = program_spec
        self._name = name

    def predict(self, clips: np.ndarray, relations: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Clips (N, T, C, H, W) float32 to logits (N, K); the relations are those of the export.

        Raises:
            DataError: the program takes clips of another shape.
        """
        model, size = self.spec, self._program_spec.size
        self._check(clips, (model.num_segments, model.in_channels, size, size), "clips")
        if self._program_spec.streaming:
            return self._mean_of_steps(clips)
        return self._logits(self._run((self._pixels(clips),))[0])

    def _mean_of_steps(self, clips: np.ndarray) -> np.ndarray:
        """A streaming program sees clips frame by frame; the logits of a clip are the mean of those of its frames."""
        state, logits = None, []
        for frames in clips.swapaxes(0, 1):
            scores, state = self.step(frames, state)
            logits.append(scores)
        mean: np.ndarray = np.mean(logits, axis=0)
        return mean

    def step(self, frames: np.ndarray, state: State | None = None) -> tuple[np.ndarray, State]:
        """The next frames (N, C, H, W) float32 of N streams to their logits (N, K) and the new state.

        Raises:
            RecipeError: the program takes whole clips.
            DataError: the program takes frames of another shape.
        """
        if not self._program_spec.streaming:
            raise RecipeError(f"{self._name}: takes whole clips; export the model with --streaming to run it by frames")
        size = self._program_spec.size
        self._check(frames, (self.spec.in_channels, size, size), "frames")
        if state is None:
            state = tuple(port.example(len(frames)) for port in self._program_spec.inputs[1:])
        scores, *present = self._run((self._pixels(frames), *state))
        return self._logits(scores), tuple(present)

    def state_shapes(self, height: int, width: int) -> dict[str, tuple[int, int, int]]:
        """Shifted block to the shape of its buffer."""
        return state_shapes(self.spec, height, width)

    def features(self, clips: np.ndarray, layers: Sequence[str]) -> Tensors:
        """Not to be had from an exported program.

        Raises:
            RecipeError: always.
        """
        raise RecipeError(f"{self._name}: an exported model has no layers to look at; give its checkpoint")

    def gather(self, array: np.ndarray) -> np.ndarray:
        """The array: there are no other ranks."""
        return array

    def close(self) -> None:
        """Nothing to leave."""

    def _check(self, array: np.ndarray, expected: tuple[int, ...], what: str) -> None:
        if array.shape[1:] != expected:
            given, wanted = (" x ".join(map(str, shape)) for shape in (array.shape[1:], expected))
            remedy = "sample as many frames" if array.shape[-2:] == expected[-2:] else "export it with another --size"
            raise DataError(f"{self._name}: takes {what} of {wanted} and gets {given}; {remedy}")

    def _pixels(self, clips: np.ndarray) -> np.ndarray:
        """(..., C, H, W) float32 as the program takes it."""
        if self._program_spec.pixels is None:
            return np.ascontiguousarray(clips, np.float32)
        return np.ascontiguousarray(np.moveaxis(clips, -3, -1).round().clip(0, 255).astype(np.uint8))

    def _logits(self, scores: np.ndarray) -> np.ndarray:
        return scores if self._program_spec.pixels is None else to_logits(scores, self.spec.multi_label)

    def _run(self, inputs: tuple[Any, ...]) -> list[np.ndarray]:
        """Run the program, piece by piece where its batch is fixed; the last piece is filled up with zeros."""
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
