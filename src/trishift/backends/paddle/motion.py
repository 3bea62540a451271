"""The motion sensitive network (MSN, Gu et al. 2024, Front. Neurosci. 18:1370024).

A ResNet whose segments are windows of five frames. STP-ME adds a map of the motion in a window to the features of its
middle frame; DS-ME weights the channels of each segment by the change to the next one; a learned shift mixes
neighboring segments. The convolutions have biases, as in the published code.

Shape legend: N clips, T segments, W segments of a comparison window, C channels, R = C / 4, H x W pixels.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from trishift.backends.paddle.batch_norm import batch_norm
from trishift.backends.paddle.deformable import DeformableConv
from trishift.backends.paddle.resnet import Bottleneck, ResidualBlock, ResNet, conv1x1, conv7x7
from trishift.backends.paddle.temporal_shift import LearnedShift
from trishift.model.backbones import resnet
from trishift.model.motion import MOTION_FRAMES, MOTION_REDUCTION
from trishift.model.spec import ModelSpec


class MotionPyramid(nn.Layer):
    """STP-ME: differences between the five frames of a window, in pixels and in features at two depths.

    The published code subtracts the `conv1` and `conv2` features of single frames. Both are linear, so features of
    differences are the same at half the cost, and the biases cancel.
    """

    def __init__(self, frame_channels: int, width: int) -> None:
        super().__init__()
        inner = width // MOTION_REDUCTION
        self.conv1 = conv7x7(frame_channels, inner)
        self.conv2 = nn.Conv2D(inner, width, 5, padding=2, bias_attr=False)
        self.pixel_conv = conv7x7((MOTION_FRAMES - 1) * frame_channels, width)
        self.pixel_bn = batch_norm(width)
        self.feature_conv = nn.Conv2D(2 * inner, width, 5, padding=2, bias_attr=False)
        self.feature_bn = batch_norm(width)

    def forward(self, frames: Tensor) -> Tensor:
        """Windows (N * T, 5, 3, H, W) to a motion map (N * T, width, H / 4, W / 4)."""
        first, middle, last = frames[:, 0], frames[:, MOTION_FRAMES // 2], frames[:, -1]
        pixels = (frames[:, 1:] - frames[:, :-1]).flatten(1, 2)
        later, earlier = self.conv1(last - middle), self.conv1(middle - first)
        return (
            F.relu(self.pixel_bn(self.pixel_conv(_halve(pixels))))
            + F.relu(self.feature_bn(self.feature_conv(_halve(paddle.concat([later, earlier], 1)))))
            + _halve(self.conv2(later + earlier))
        )


def _halve(x: Tensor) -> Tensor:
    """Max-pooling to half the size."""
    return F.max_pool2d(x, 3, 2, padding=1)


class MotionExcitation(nn.Layer):
    """DS-ME: x * (1/2 + gate), with the gate computed from the change to the next segment of the window.

    With u = norm(reduce(x)): the change is |aligned(u[t + 1]) - 3 u[t]|, where `aligned` is the sum of two deformable
    convolutions and a pooled path that follow the motion. The last segment has no next one; its gate comes from a 3-D
    convolution, averaged over the window. Gates see means over all positions.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        inner = channels // MOTION_REDUCTION
        self.reduce = conv1x1(channels, inner, bias=True)
        self.reduce_bn = batch_norm(inner)
        self.deformable3 = DeformableConv(inner, 3)
        self.deformable5 = DeformableConv(inner, 5)
        self.pooled = conv1x1(inner, inner, bias=True)
        self.pooled_bn = batch_norm(inner)
        self.temporal = nn.Conv3D(inner, inner, 3, padding=1)
        self.temporal_bn = batch_norm(inner)
        self.expand = conv1x1(inner, channels, bias=True)
        self.expand_bn = batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        reduced = self.reduce_bn(self.reduce(x))
        windows = reduced.reshape([-1, self.window, *reduced.shape[1:]])  # (N * T / W, W, R, H, W)
        changes = paddle.concat([self._changes(windows), self._window_means(windows)], 1).flatten(0, 1)  # (N * T, R)
        gate = F.sigmoid(self.expand_bn(self.expand(changes.unsqueeze([2, 3]))))
        return x * (gate + 0.5)

    def _changes(self, windows: Tensor) -> Tensor:
        """Mean change of all segments except the last of each window: (N * T / W, W - 1, R)."""
        present, following = windows[:, :-1].flatten(0, 1), windows[:, 1:].flatten(0, 1)
        pooled = F.max_pool2d(following, 3, 1, padding=1)
        aligned = self.deformable3(following) + self.deformable5(following) + self.pooled_bn(self.pooled(pooled))
        return F.adaptive_avg_pool2d((aligned - 3 * present).abs(), 1).reshape([-1, self.window - 1, windows.shape[2]])

    def _window_means(self, windows: Tensor) -> Tensor:
        """Mean features of whole windows, used for their last segments: (N * T / W, 1, R)."""
        course = self.temporal(windows.transpose([0, 2, 1, 3, 4])).transpose([0, 2, 1, 3, 4]).flatten(0, 1)
        means = F.adaptive_avg_pool2d(self.temporal_bn(course), 1).reshape([-1, self.window, windows.shape[2]])
        return means.mean(1, keepdim=True)


class MotionBottleneck(Bottleneck):
    """A bottleneck with a motion module and the learned shift before its 3x3 convolution (MSN, TDN)."""

    def __init__(self, block: resnet.ResidualBlock, spec: ModelSpec, excitation: nn.Layer) -> None:
        super().__init__(block, spec)
        self.excitation = excitation
        self.learned_shift = LearnedShift(block.width, spec.num_segments)

    def branch(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, 4 * width, H / stride, W / stride)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.learned_shift(self.excitation(x))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class MotionResNet(ResNet):
    """The backbone of MSN, from windows of five frames to pooled features; TDN's differs in the four methods below.

    Attributes:
        pyramid: STP-ME.
        motion_layer1: a separate `layer1` for the motion map.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        assert spec.motion is not None
        self.stem_share, self.layer1_share = spec.motion.stem_share, spec.motion.layer1_share
        self.add_motion_map(spec)
        self.motion_layer1 = self._stage(1)

    def add_motion_map(self, spec: ModelSpec) -> None:
        """Add the layers of `motion_map`."""
        self.pyramid = MotionPyramid(spec.frame_channels, spec.width)

    def motion_map(self, frames: Tensor) -> Tensor:
        """Windows (N * T, 5, 3, H, W) to a map of the motion in them."""
        return self.pyramid(frames)

    def make_excitation(self, channels: int) -> nn.Layer:
        """The motion module of a block."""
        return MotionExcitation(channels, self.spec.motion_window)

    def fuse(self, x: Tensor, motion: Tensor, share: float) -> Tensor:
        """Weighted mean of frame features and motion features."""
        return (1 - share) * x + share * motion

    def make_block(self, block: resnet.ResidualBlock) -> ResidualBlock:
        """A plain bottleneck in the first stage, one with motion modules elsewhere."""
        if block.stage == 1:
            return super().make_block(block)
        return MotionBottleneck(block, self.spec, self.make_excitation(block.width))

    def forward(self, x: Tensor, survival: Tensor | None = None) -> Tensor:
        """(N * T, 15, H, W) to (N * T, F); `survival` has a column per block, also for those of the motion map."""
        first, second, third, fourth = self._columns(survival)
        _, _, height, width = x.shape
        frames = x.reshape([-1, MOTION_FRAMES, self.spec.frame_channels, height, width])
        motion = self.motion_map(frames)
        x = self.fuse(self.stem(frames[:, MOTION_FRAMES // 2]), motion, self.stem_share)
        x = self.fuse(self.layer1(x, first), self.motion_layer1(motion, first), self.layer1_share)
        return self.pool(self.layer4(self.layer3(self.layer2(x, second), third), fourth))
