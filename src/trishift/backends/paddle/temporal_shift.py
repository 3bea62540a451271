"""The temporal shift module (TSM, Lin et al. 2019, arXiv:1811.08383) and its place in a network.

Paddle's own `F.temporal_shift` is not used: it feeds the folds from the opposite neighbors, has no unidirectional
mode and takes several times longer on CPUs than the `split` and `concat` below, whose gradients are plain copies, too.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

from collections.abc import Callable

import paddle
from paddle import Tensor, nn

from trishift.model.spec import ModelSpec, ShiftSpec

AfterShift = Callable[[Tensor, Tensor], Tensor]  # a block's input and its shifted input to the block's output


def temporal_shift(x: Tensor, segments: int, shift: ShiftSpec) -> Tensor:
    """Move the first channels of every frame to a neighboring frame.

    With f = C // shift.div and `future_first`, y[t, :f] = x[t + 1, :f], y[t, f:2f] = x[t - 1, f:2f] and the other
    channels stay; `past_first` swaps the neighbors, `unidirectional` moves only [0, f), from t - 1. Frames
    beyond the clip are zero.

    Args:
        x: (N * T, C, H, W).
        segments: T.
        shift: which channels move where.

    Returns:
        (N * T, C, H, W).
    """
    folds = shift.folds(x.shape[1])
    sizes, origins = [*folds, x.shape[1] - sum(folds)], [*shift.origins, 0]
    rest = len(folds)  # programs refuse empty parts, but gradients of a single segment need one that stays
    present = [k for k in range(len(sizes)) if sizes[k] or (segments == 1 and k == rest)]
    pieces = paddle.split(x, [sizes[k] for k in present], axis=1) if len(present) > 1 else [x]
    moved = [_moved(pieces[i], segments, origins[present[i]]) for i in range(len(present))]
    return paddle.concat(moved, axis=1) if len(moved) > 1 else moved[0]


def _moved(x: Tensor, segments: int, origin: int) -> Tensor:
    """y[t] = x[t + origin] within each clip: (N * T, C, H, W) in and out."""
    if origin == 0:
        return x
    return _from_future(x, segments) if origin > 0 else _from_past(x, segments)


def _from_past(x: Tensor, segments: int) -> Tensor:
    """y[t] = x[t - 1] within each clip: (N * T, C, H, W) in and out."""
    if segments == 1:
        return paddle.zeros_like(x)
    earlier, last = paddle.split(_clips(x, segments), [segments - 1, 1], axis=1)
    return paddle.concat([paddle.zeros_like(last), earlier], axis=1).flatten(0, 1)


def _from_future(x: Tensor, segments: int) -> Tensor:
    """y[t] = x[t + 1] within each clip: (N * T, C, H, W) in and out."""
    if segments == 1:
        return paddle.zeros_like(x)
    first, later = paddle.split(_clips(x, segments), [1, segments - 1], axis=1)
    return paddle.concat([later, paddle.zeros_like(first)], axis=1).flatten(0, 1)


def _clips(x: Tensor, segments: int) -> Tensor:
    """(N * T, C, H, W) to (N, T, C, H, W)."""
    _, channels, height, width = x.shape
    return x.reshape([-1, segments, channels, height, width])


def shift_step(x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """The unidirectional `temporal_shift` of one frame per stream.

    Args:
        x: (N, C, H, W), the frames.
        past: (N, f, H, W), the first channels of the previous frames; zeros at the start of a stream.

    Returns:
        The shifted frames (N, C, H, W), and the first channels of x (N, f, H, W): `past` of the next frame.
    """
    fold = past.shape[1]
    present, rest = paddle.split(x, [fold, x.shape[1] - fold], axis=1)
    return paddle.concat([past, rest], axis=1), present


class TemporalShift(nn.Layer):
    """`temporal_shift` as a layer without parameters: (N * T, C, H, W) in and out."""

    def __init__(self, segments: int, shift: ShiftSpec) -> None:
        super().__init__()
        self.segments = segments
        self.spec = shift

    def forward(self, x: Tensor) -> Tensor:
        """Shift along time."""
        shifted = temporal_shift(x, self.segments, self.spec)
        if paddle.in_dynamic_mode() and paddle.is_grad_enabled() and shifted is not x:
            shifted.source = x.detach()  # for readers that do not keep the copy, see `resnet.ResidualBlock`
        return shifted

    def extra_repr(self) -> str:
        """Description of the shift in `print(network)`."""
        return f"segments={self.segments}, div={self.spec.div}, {self.spec.direction}, {self.spec.order}"


class LearnedShift(nn.Layer):
    """A shift with learned weights: y[t] = w0 x[t - 1] + w1 x[t] + w2 x[t + 1], per channel (TDN, MSN).

    Attributes:
        weight: (C, 1, 3), as in a depthwise convolution over time; it starts as a bidirectional `temporal_shift`.
    """

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.weight = self.create_parameter([channels, 1, 3])

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        past, present, future = paddle.unbind(self.weight.unsqueeze(-1), 2)  # (C, 1, 1) each
        return past * _from_past(x, self.segments) + present * x + future * _from_future(x, self.segments)


def shift_at(spec: ModelSpec, block: str, segments: int) -> nn.Layer:
    """The shift of the block called `block`, or the identity if the spec does not shift it."""
    if spec.shift is None or block not in spec.shifted_blocks:
        return nn.Identity()
    return TemporalShift(segments, spec.shift)
