"""The temporal shift module (TSM, Lin et al. 2019, arXiv:1811.08383) and its place in a network.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trishift.backends.pytorch.kernels.availability import has_kernels
from trishift.model.spec import ModelSpec, ShiftSpec

SHIFT_NODE = "_ShiftBackward"  # in autograd's graph
Folds = tuple[int, ...]  # channels of each
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
        (N * T, C, H, W), a new tensor in the memory format of x.
    """
    moves, folds = shift.origins, shift.folds(x.shape[1])
    if torch.is_grad_enabled() and x.requires_grad and not torch.compiler.is_compiling():
        return _Shift.apply(x, segments, folds, moves)
    return _shift(x, segments, folds, moves)


class _Shift(torch.autograd.Function):
    """A shift whose gradient is the shift the other way: one copy, where autograd would make one per operation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, segments: int, folds: Folds, moves: tuple[int, ...]) -> Tensor:
        ctx.save_for_backward(x)  # for readers of the output that do not keep it, see `resnet.ResidualBlock`
        ctx.arguments = segments, folds, tuple(-move for move in moves)
        return _shift(x, segments, folds, moves)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _shift(gradient, *ctx.arguments), None, None, None


def _shift(x: Tensor, segments: int, folds: Folds, moves: tuple[int, ...]) -> Tensor:
    """(N * T, C, H, W) to a new tensor in its memory format."""
    is_even = len(set(folds)) == 1  # as in the kernels
    if x.is_cuda and is_even and not torch.compiler.is_compiling() and _is_dense(x) and has_kernels():
        from trishift.backends.pytorch.kernels.products import shifted

        return shifted(x, segments, folds[0], moves)
    if not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return _shift_channels(x.permute(0, 2, 3, 1), segments, folds, moves, channel_axis=4).permute(0, 3, 1, 2)
    return _shift_channels(x, segments, folds, moves, channel_axis=2)


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)


def _shift_channels(x: Tensor, segments: int, folds: Folds, moves: tuple[int, ...], channel_axis: int) -> Tensor:
    """Move folds of (N * T, ...), with C on `channel_axis` after N and T are split."""
    clips = x.unflatten(0, (-1, segments))
    *parts, rest = clips.split([*folds, clips.shape[channel_axis] - sum(folds)], channel_axis)
    moved = [(_from_future if move > 0 else _from_past)(part) for move, part in zip(moves, parts, strict=True)]
    filled = [part for part in (*moved, rest) if part.shape[channel_axis]]  # runtimes refuse or copy empty parts
    return torch.cat(filled, channel_axis).flatten(0, 1)


def _from_past(clips: Tensor) -> Tensor:
    """y[:, t] = x[:, t - 1] for (N, T, ., ., .)."""
    return F.pad(clips[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))


def _from_future(clips: Tensor) -> Tensor:
    """y[:, t] = x[:, t + 1] for (N, T, ., ., .)."""
    return F.pad(clips[:, 1:], (0, 0, 0, 0, 0, 0, 0, 1))


def shift_step(x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """The unidirectional `temporal_shift` of one frame per stream.

    Args:
        x: (N, C, H, W), the frames.
        past: (N, f, H, W), the first channels of the previous frames; zeros at the start of a stream.

    Returns:
        The shifted frames (N, C, H, W), and the first channels of x (N, f, H, W): `past` of the next frame.
    """
    fold = past.shape[1]
    present, rest = x.split([fold, x.shape[1] - fold], 1)
    return torch.cat([past, rest], 1), present


class TemporalShift(nn.Module):
    """`temporal_shift` as a layer without parameters: (N * T, C, H, W) in and out."""

    def __init__(self, segments: int, shift: ShiftSpec) -> None:
        super().__init__()
        self.segments = segments
        self.spec = shift

    def forward(self, x: Tensor) -> Tensor:
        """Shift along time."""
        return temporal_shift(x, self.segments, self.spec)

    def extra_repr(self) -> str:
        """Description of the shift in `print(network)`."""
        return f"segments={self.segments}, div={self.spec.div}, {self.spec.direction}, {self.spec.order}"


class LearnedShift(nn.Module):
    """A shift with learned weights: y[t] = w0 x[t - 1] + w1 x[t] + w2 x[t + 1], per channel (TDN, MSN).

    Attributes:
        weight: (C, 1, 3), as in a depthwise convolution over time; it starts as a bidirectional `temporal_shift`.
    """

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.weight = nn.Parameter(torch.empty(channels, 1, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        clips = x.unflatten(0, (-1, self.segments))
        past, present, future = self.weight[..., None].unbind(2)  # (C, 1, 1) each
        return (past * _from_past(clips) + present * clips + future * _from_future(clips)).flatten(0, 1)


def shift_at(spec: ModelSpec, block: str, segments: int) -> nn.Module:
    """The shift of the block called `block`, or the identity if the spec does not shift it."""
    if spec.shift is None or block not in spec.shifted_blocks:
        return nn.Identity()
    return TemporalShift(segments, spec.shift)
