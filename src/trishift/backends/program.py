"""Inputs and outputs of exported programs, the same in every deployment format.

Shape legend: N clips or streams (any number), T segments, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trishift.model.online import state_shapes
from trishift.model.sizes import Size
from trishift.model.spec import InputSpec, ModelSpec


@dataclass(frozen=True)
class Port:
    """One input or output of a program; None in the shape means any size."""

    name: str
    shape: tuple[int | None, ...]
    dtype: Literal["float32", "uint8"] = "float32"

    def example(self, batch: int) -> np.ndarray:
        """Zeros of the port's shape, for tracers."""
        return np.zeros([batch if size is None else size for size in self.shape], self.dtype)


@dataclass(frozen=True)
class ProgramSpec:
    """A model and the interface of its exported program.

    Plain: clips (N, T, C, H, W) float32, normalized, to logits (N, K). With `pixels`: frames (N, T, H, W, 3) uint8
    RGB to probabilities (N, K). A streaming program advances by one frame: frames without T, and one buffer per shifted
    block, to the same outputs and the new buffers. A video starts with zero buffers.

    Attributes:
        model: describes the network.
        size: H and W.
        pixels: normalization to include in the program, or None.
        streaming: one frame at a time, with the state as inputs and outputs.
        batch: fixed N, for formats without a free batch axis.
    """

    model: ModelSpec
    size: Size
    pixels: InputSpec | None = None
    streaming: bool = False
    batch: int | None = None

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Clips or frames, then the state."""
        model = self.model
        segments = () if self.streaming else (model.num_segments,)
        if self.pixels:
            first = Port("frames", (self.batch, *segments, *self.size, 3), "uint8")
        else:
            name = "frames" if self.streaming else "clips"
            first = Port(name, (self.batch, *segments, model.in_channels, *self.size))
        return first, *self._state("state")

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Logits or probabilities, then the new state."""
        scores = Port("probabilities" if self.pixels else "logits", (self.batch, self.model.num_classes))
        return scores, *self._state("next_state")

    def _state(self, prefix: str) -> tuple[Port, ...]:
        if not self.streaming:
            return ()
        buffers = state_shapes(self.model, *self.size)
        return tuple(
            Port(f"{prefix}_{block.replace('.', '_')}", (self.batch, *shape)) for block, shape in buffers.items()
        )
