"""What the backbones have in common: blocks with a temporal shift at their input, a stem before and a pool after them.

Shape legend: N clips, T segments, C channels, H x W pixels, F pooled features.
"""

from __future__ import annotations

from mindspore import Tensor, nn

from trishift.backends.mindspore.temporal_shift import AfterShift, shift_at
from trishift.model.spec import ModelSpec


class Block(nn.Cell):
    """A block whose input can be shifted along time.

    Attributes:
        segments: frames of a clip at its input.
        shift: temporal shift or identity, at the input of the branch.
        shifts_identity: whether the identity path reads the shifted features as well.
    """

    def __init__(self, spec: ModelSpec, name: str, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.shift = shift_at(spec, name, segments)
        self.shifts_identity = spec.shifts_identity

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H', W')."""
        return self.after_shift(x, self.shift(x))

    def after_shift(self, x: Tensor, shifted: Tensor) -> Tensor:
        """The block's output from its input and the shifted one: (N * T, C, H, W) to (N * T, C', H', W')."""
        raise NotImplementedError


class Backbone(nn.Cell):
    """A network from frames (N * T, C, H, W) to pooled features (N * T', F)."""

    def stem(self, x: Tensor) -> Tensor:
        """Frames (N * T, C, H, W) to the input of the first block."""
        raise NotImplementedError

    def blocks(self) -> tuple[tuple[str, AfterShift], ...]:
        """Name and `after_shift` of every block in network order."""
        return tuple((name, block.after_shift) for name, block in self.cells_and_names() if isinstance(block, Block))

    def pool(self, x: Tensor) -> Tensor:
        """The last block's output (N * T', F, H, W) to (N * T', F)."""
        return x.mean((2, 3))
