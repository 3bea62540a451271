"""The temporal difference network (TDN, Wang et al. 2021, arXiv:2012.10071).

A ResNet whose segments are windows of five frames. The short-term module adds a map of the differences in a window to
the features of its middle frame; the long-term module weights every position by the changes to both neighboring
segments; a learned shift mixes neighboring segments. What it has in common with MSN is in `motion`.

Shape legend: N clips, T segments, C channels, R = C / 16, H x W pixels.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from trishift.backends.paddle.batch_norm import batch_norm
from trishift.backends.paddle.motion import MotionResNet
from trishift.backends.paddle.resnet import conv1x1, conv3x3, conv7x7
from trishift.model.motion import DIFFERENCE_REDUCTION, MOTION_FRAMES
from trishift.model.spec import ModelSpec


class ShortTermDifference(nn.Layer):
    """The four differences between the five frames of a window, at half their size, as a map of an eighth of it."""

    def __init__(self, frame_channels: int, width: int) -> None:
        super().__init__()
        self.conv = conv7x7((MOTION_FRAMES - 1) * frame_channels, width)
        self.bn = batch_norm(width)

    def forward(self, frames: Tensor) -> Tensor:
        """Windows (N * T, 5, 3, H, W) to a motion map (N * T, width, H / 8, W / 8)."""
        differences = (frames[:, 1:] - frames[:, :-1]).flatten(1, 2)
        x = F.relu(self.bn(self.conv(F.avg_pool2d(differences, 2))))
        return F.max_pool2d(x, 3, 2, padding=1)


class LongTermDifference(nn.Layer):
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
        self.depthwise = nn.Conv2D(inner, inner, 3, padding=1, groups=inner, bias_attr=False)
        self.pooled = conv3x3(inner, inner)
        self.pooled_bn = batch_norm(inner)
        self.whole = conv3x3(inner, inner)
        self.whole_bn = batch_norm(inner)
        self.expand = conv1x1(inner, channels)
        self.expand_bn = batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        reduced = self.reduce_bn(self.reduce(x))
        shape = [-1, self.segments, *reduced.shape[1:]]
        present, around = reduced.reshape(shape), self.depthwise(reduced).reshape(shape)
        none = paddle.zeros_like(present[:, :1])
        to_next = paddle.concat([around[:, 1:] - present[:, :-1], none], 1).flatten(0, 1)
        to_previous = paddle.concat([none, around[:, :-1] - present[:, 1:]], 1).flatten(0, 1)
        return x * (0.5 + 0.5 * (self._gate(to_next) + self._gate(to_previous)))

    def _gate(self, change: Tensor) -> Tensor:
        """Changes (N * T, R, H, W), the mean of three views of them, to (N * T, C, H, W) from 0 to 1."""
        pooled = enlarge(self.pooled_bn(self.pooled(F.avg_pool2d(change, 2))), change)
        whole = self.whole_bn(self.whole(change))
        return F.sigmoid(self.expand_bn(self.expand((change + pooled + whole) / 3)))


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

    def make_excitation(self, channels: int) -> nn.Layer:
        """The long-term module of a block."""
        return LongTermDifference(channels, self.spec.num_segments)

    def fuse(self, x: Tensor, motion: Tensor, share: float) -> Tensor:
        """Weighted mean of frame features and enlarged motion features."""
        return (1 - share) * x + share * enlarge(motion, x)


def enlarge(x: Tensor, target: Tensor) -> Tensor:
    """Repeat pixels until the maps are as large as those of `target`; Paddle Inference cannot run `F.interpolate`."""
    for axis in (2, 3):
        steps = paddle.arange(target.shape[axis])
        x = paddle.index_select(x, steps * x.shape[axis] // target.shape[axis], axis)
    return x
