"""The temporal shift module (TSM, Lin et al. 2019, arXiv:1811.08383) and its place in a network.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

from collections.abc import Callable

from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import initializer

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
    clips = x.reshape((-1, segments, *x.shape[1:]))  # (N, T, C, H, W)
    folds = shift.folds(clips.shape[2])
    fold, end = folds[0], sum(folds)
    if shift.direction == "unidirectional":
        parts = [_from_past(clips[:, :, :fold]), clips[:, :, fold:]]
    else:
        first, second, rest = clips[:, :, :fold], clips[:, :, fold:end], clips[:, :, end:]
        if shift.order == "future_first":
            parts = [_from_future(first), _from_past(second), rest]
        else:
            parts = [_from_past(first), _from_future(second), rest]
    return ops.concat(parts, 2).reshape(x.shape)


def _from_past(clips: Tensor) -> Tensor:
    """y[:, t] = x[:, t - 1] for (N, T, ., ., .)."""
    border = ops.zeros_like(clips[:, :1])
    return border if clips.shape[1] == 1 else ops.concat((border, clips[:, :-1]), 1)


def _from_future(clips: Tensor) -> Tensor:
    """y[:, t] = x[:, t + 1] for (N, T, ., ., .)."""
    border = ops.zeros_like(clips[:, :1])
    return border if clips.shape[1] == 1 else ops.concat((clips[:, 1:], border), 1)


def shift_step(x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """The unidirectional `temporal_shift` of one frame per stream.

    Args:
        x: (N, C, H, W), the frames.
        past: (N, f, H, W), the first channels of the previous frames; zeros at the start of a stream.

    Returns:
        The shifted frames (N, C, H, W), and the first channels of x (N, f, H, W): `past` of the next frame.
    """
    fold = past.shape[1]
    return ops.concat((past, x[:, fold:]), 1), x[:, :fold]


class TemporalShift(nn.Cell):
    """`temporal_shift` as a cell without parameters: (N * T, C, H, W) in and out."""

    def __init__(self, segments: int, shift: ShiftSpec) -> None:
        super().__init__()
        self.segments = segments
        self.spec = shift

    def construct(self, x: Tensor) -> Tensor:
        """Shift along time."""
        return temporal_shift(x, self.segments, self.spec)

    def extend_repr(self) -> str:
        """Description of the shift in `print(network)`."""
        return f"segments={self.segments}, div={self.spec.div}, {self.spec.direction}, {self.spec.order}"


class LearnedShift(nn.Cell):
    """A shift with learned weights: y[t] = w0 x[t - 1] + w1 x[t] + w2 x[t + 1], per channel (TDN, MSN).

    Attributes:
        weight: (C, 1, 3), as in a depthwise convolution over time; it starts as a bidirectional `temporal_shift`.
    """

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.weight = Parameter(initializer("zeros", (channels, 1, 3)))

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        clips = x.reshape((-1, self.segments, *x.shape[1:]))  # (N, T, C, H, W)
        past, present, future = ops.split(self.weight, 1, 2)  # (C, 1, 1) each
        return (past * _from_past(clips) + present * clips + future * _from_future(clips)).reshape(x.shape)


def shift_at(spec: ModelSpec, block: str, segments: int) -> nn.Cell:
    """The shift of the block called `block`, or the identity if the spec does not shift it."""
    if spec.shift is None or block not in spec.shifted_blocks:
        return nn.Identity()
    return TemporalShift(segments, spec.shift)
