"""The motion sensitive network (MSN, Gu et al. 2024, Front. Neurosci. 18:1370024).

A ResNet whose segments are windows of five frames. STP-ME adds a map of the motion in a window to the features of its
middle frame; DS-ME weights the channels of each segment by the change to the next one; a learned shift mixes
neighboring segments. The convolutions have biases, as in the published code.

Shape legend: N clips, T segments, W segments of a comparison window, C channels, R = C / 4, H x W pixels.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from trishift.backends.mindspore.batch_norm import batch_norm
from trishift.backends.mindspore.deformable import DeformableConv
from trishift.backends.mindspore.resnet import Bottleneck, ResidualBlock, ResNet, conv1x1, conv7x7
from trishift.backends.mindspore.temporal_shift import LearnedShift
from trishift.model.backbones import resnet
from trishift.model.motion import MOTION_FRAMES, MOTION_REDUCTION
from trishift.model.spec import ModelSpec


def _conv5x5(in_channels: int, channels: int) -> nn.Conv2d:
    """A padded 5x5 convolution without bias."""
    return nn.Conv2d(in_channels, channels, 5, pad_mode="pad", padding=2, has_bias=False)


class MotionPyramid(nn.Cell):
    """STP-ME: differences between the five frames of a window, in pixels and in features at two depths.

    The published code subtracts the `conv1` and `conv2` features of single frames. Both are linear, so features of
    differences are the same at half the cost, and the biases cancel.
    """

    def __init__(self, frame_channels: int, width: int) -> None:
        super().__init__()
        inner = width // MOTION_REDUCTION
        self.conv1 = conv7x7(frame_channels, inner)
        self.conv2 = _conv5x5(inner, width)
        self.pixel_conv = conv7x7((MOTION_FRAMES - 1) * frame_channels, width)
        self.pixel_bn = batch_norm(width)
        self.feature_conv = _conv5x5(2 * inner, width)
        self.feature_bn = batch_norm(width)
        self.halve = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)

    def construct(self, frames: Tensor) -> Tensor:
        """Windows (N * T, 5, 3, H, W) to a motion map (N * T, width, H / 4, W / 4)."""
        first, middle, last = frames[:, 0], frames[:, MOTION_FRAMES // 2], frames[:, -1]
        differences = frames[:, 1:] - frames[:, :-1]
        pixels = differences.reshape((-1, differences.shape[1] * differences.shape[2], *differences.shape[3:]))
        later, earlier = self.conv1(last - middle), self.conv1(middle - first)
        return (
            ops.relu(self.pixel_bn(self.pixel_conv(self.halve(pixels))))
            + ops.relu(self.feature_bn(self.feature_conv(self.halve(ops.concat([later, earlier], 1)))))
            + self.halve(self.conv2(later + earlier))
        )


class MotionExcitation(nn.Cell):
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
        self.pool = nn.MaxPool2d(3, 1, pad_mode="pad", padding=1)
        self.pooled = conv1x1(inner, inner, bias=True)
        self.pooled_bn = batch_norm(inner)
        self.temporal = nn.Conv3d(inner, inner, 3, pad_mode="pad", padding=1, has_bias=True)
        self.temporal_bn = batch_norm(inner)
        self.expand = conv1x1(inner, channels, bias=True)
        self.expand_bn = batch_norm(channels)

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        reduced = self.reduce_bn(self.reduce(x))
        windows = reduced.reshape((-1, self.window, *reduced.shape[1:]))  # (N * T / W, W, R, H, W)
        changes = ops.concat([self._changes(windows), self._window_means(windows)], 1)
        changes = changes.reshape((-1, changes.shape[2], 1, 1))  # (N * T, R, 1, 1)
        gate = ops.sigmoid(self.expand_bn(self.expand(changes)))
        return x * (gate + 0.5)

    def _changes(self, windows: Tensor) -> Tensor:
        """Mean change of all segments except the last of each window: (N * T / W, W - 1, R)."""
        shape = windows.shape[2:]
        present, following = windows[:, :-1].reshape((-1, *shape)), windows[:, 1:].reshape((-1, *shape))
        pooled = self.pool(following)
        aligned = self.deformable3(following) + self.deformable5(following) + self.pooled_bn(self.pooled(pooled))
        return (aligned - 3 * present).abs().mean((2, 3)).reshape((-1, self.window - 1, shape[0]))

    def _window_means(self, windows: Tensor) -> Tensor:
        """Mean features of whole windows, used for their last segments: (N * T / W, 1, R)."""
        course = self.temporal(windows.swapaxes(1, 2)).swapaxes(1, 2).reshape((-1, *windows.shape[2:]))
        means = self.temporal_bn(course).mean((2, 3)).reshape((-1, self.window, windows.shape[2]))
        return means.mean(1, keep_dims=True)


class MotionBottleneck(Bottleneck):
    """A bottleneck with a motion module and the learned shift before its 3x3 convolution (MSN, TDN)."""

    def __init__(self, block: resnet.ResidualBlock, spec: ModelSpec, excitation: nn.Cell) -> None:
        super().__init__(block, spec)
        self.excitation = excitation
        self.learned_shift = LearnedShift(block.width, spec.num_segments)

    def branch(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, 4 * width, H / stride, W / stride)."""
        x = ops.relu(self.bn1(self.conv1(x)))
        x = self.learned_shift(self.excitation(x))
        x = ops.relu(self.bn2(self.conv2(x)))
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

    def make_excitation(self, channels: int) -> nn.Cell:
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

    def construct(self, x: Tensor, survival: Tensor | None = None) -> Tensor:
        """(N * T, 15, H, W) to (N * T, F); `survival` has a column per block, also for those of the motion map."""
        first, second, third, fourth = self._columns(survival)
        frames = x.reshape((-1, MOTION_FRAMES, self.spec.frame_channels, *x.shape[2:]))
        motion = self.motion_map(frames)
        x = self.fuse(self.stem(frames[:, MOTION_FRAMES // 2]), motion, self.stem_share)
        x = self.fuse(self.layer1(x, first), self.motion_layer1(motion, first), self.layer1_share)
        return self.pool(self.layer4(self.layer3(self.layer2(x, second), third), fourth))
