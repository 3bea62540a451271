"""The temporal difference network (TDN, Wang et al. 2021, arXiv:2012.10071).

A ResNet whose segments are windows of five frames. The short-term module adds a map of the differences in a window to
the features of its middle frame; the long-term module weights every position by the changes to both neighboring
segments; a learned shift mixes neighboring segments. What it has in common with MSN is in `motion`.

Shape legend: N clips, T segments, C channels, R = C / 16, H x W pixels.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from trishift.backends.mindspore.batch_norm import batch_norm
from trishift.backends.mindspore.motion import MotionResNet
from trishift.backends.mindspore.resnet import conv1x1, conv3x3, conv7x7
from trishift.model.motion import DIFFERENCE_REDUCTION, MOTION_FRAMES
from trishift.model.spec import ModelSpec


class ShortTermDifference(nn.Cell):
    """The four differences between the five frames of a window, at half their size, as a map of an eighth of it."""

    def __init__(self, frame_channels: int, width: int) -> None:
        super().__init__()
        self.conv = conv7x7((MOTION_FRAMES - 1) * frame_channels, width)
        self.bn = batch_norm(width)
        self.average = nn.AvgPool2d(2, 2)
        self.halve = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)

    def construct(self, frames: Tensor) -> Tensor:
        """Windows (N * T, 5, 3, H, W) to a motion map (N * T, width, H / 8, W / 8)."""
        pairs = frames[:, 1:] - frames[:, :-1]
        differences = pairs.reshape((-1, pairs.shape[1] * pairs.shape[2], *pairs.shape[3:]))
        return self.halve(ops.relu(self.bn(self.conv(self.average(differences)))))


class LongTermDifference(nn.Cell):
    """x * (1/2 + the mean of two gates): of the changes to the next segment and to the previous one.

    With u = norm(reduce(x)): the change to the next segment is depthwise(u[t + 1]) - u[t], to the previous one
    depthwise(u[t - 1]) - u[t]; beyond the ends of a clip, there is none (zero). Both changes pass through the same
    layers, one after the other, so in training each has batch statistics of its own.
    """

    def __init__(self, channels: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        inner = channels // DIFFERENCE_REDUCTION
        self.reduce = conv1x1(channels, inner)
        self.reduce_bn = batch_norm(inner)
        self.depthwise = nn.Conv2d(inner, inner, 3, pad_mode="pad", padding=1, group=inner, has_bias=False)
        self.average = nn.AvgPool2d(2, 2)
        self.pooled = conv3x3(inner, inner)
        self.pooled_bn = batch_norm(inner)
        self.whole = conv3x3(inner, inner)
        self.whole_bn = batch_norm(inner)
        self.expand = conv1x1(inner, channels)
        self.expand_bn = batch_norm(channels)

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        reduced = self.reduce_bn(self.reduce(x))
        shape = (-1, self.segments, *reduced.shape[1:])
        present, around = reduced.reshape(shape), self.depthwise(reduced).reshape(shape)
        none = ops.zeros_like(present[:, :1])
        to_next = ops.concat((around[:, 1:] - present[:, :-1], none), 1).reshape(reduced.shape)
        to_previous = ops.concat((none, around[:, :-1] - present[:, 1:]), 1).reshape(reduced.shape)
        return x * (0.5 + 0.5 * (self._gate(to_next) + self._gate(to_previous)))

    def _gate(self, change: Tensor) -> Tensor:
        """Changes (N * T, R, H, W), the mean of three views of them, to (N * T, C, H, W) from 0 to 1."""
        pooled = enlarge(self.pooled_bn(self.pooled(self.average(change))), change)
        whole = self.whole_bn(self.whole(change))
        return ops.sigmoid(self.expand_bn(self.expand((change + pooled + whole) / 3)))


class DifferenceResNet(MotionResNet):
    """The backbone of TDN: windows of five frames to pooled features.

    Attributes:
        short_term: the short-term module.
    """

    def add_motion_map(self, spec: ModelSpec) -> None:
        """Add the short-term module."""
        self.short_term = ShortTermDifference(spec.frame_channels, spec.width)

    def motion_map(self, frames: Tensor) -> Tensor:
        """Windows (N * T, 5, 3, H, W) to a map of the motion in them, of half the size of the frame's features."""
        return self.short_term(frames)

    def make_excitation(self, channels: int) -> nn.Cell:
        """The long-term module of a block."""
        return LongTermDifference(channels, self.spec.num_segments)

    def fuse(self, x: Tensor, motion: Tensor, share: float) -> Tensor:
        """Weighted mean of frame features and enlarged motion features."""
        return (1 - share) * x + share * enlarge(motion, x)


def enlarge(x: Tensor, target: Tensor) -> Tensor:
    """Repeat pixels until the maps are as large as those of `target`."""
    return ops.ResizeNearestNeighbor(target.shape[2:])(x)
