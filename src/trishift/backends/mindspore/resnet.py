"""ResNet-10 to -152 (He et al. 2016, arXiv:1512.03385) on frames, with TSM's shifts, pooling and non-local blocks.

Shape legend: N clips, T segments, C channels, H x W pixels; frames of a clip are adjacent on the batch axis.
"""

from __future__ import annotations

from itertools import accumulate

from mindspore import Tensor, nn, ops

from trishift.backends.mindspore.backbone import Backbone, Block
from trishift.backends.mindspore.batch_norm import batch_norm
from trishift.backends.mindspore.non_local import NonLocalBlock
from trishift.model.backbones import resnet
from trishift.model.backbones.resnet import RESNETS
from trishift.model.spec import ModelSpec


def conv7x7(in_channels: int, channels: int, bias: bool = False) -> nn.Conv2d:
    """A padded 7x7 convolution that halves the size."""
    return nn.Conv2d(in_channels, channels, 7, 2, pad_mode="pad", padding=3, has_bias=bias)


def conv3x3(in_channels: int, channels: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A padded 3x3 convolution."""
    return nn.Conv2d(in_channels, channels, 3, stride, pad_mode="pad", padding=1, has_bias=bias)


def conv1x1(in_channels: int, channels: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(in_channels, channels, 1, stride, pad_mode="pad", has_bias=bias)


class Activation(nn.Cell):
    """ReLU, or leaky ReLU of a slope below zero."""

    def __init__(self, slope: float = 0.0) -> None:
        super().__init__()
        self.slope = slope

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        # a leaky ReLU, without the operator whose MINDIR program differs by 2e-4
        return ops.relu(x) if self.slope == 0 else ops.maximum(x, self.slope * x)


def deep_stem(in_channels: int, channels: int, slope: float) -> nn.Cell:
    """The variant D of `conv7x7`: three 3x3 convolutions, with norms and activations between them."""
    half = channels // 2
    return nn.SequentialCell(
        *(conv3x3(in_channels, half, 2), batch_norm(half), Activation(slope)),
        *(conv3x3(half, half), batch_norm(half), Activation(slope)),
        conv3x3(half, channels),
    )


def projection(block: resnet.ResidualBlock, bias: bool = False) -> nn.Cell:
    """The identity path of a residual block where shapes change: a strided 1x1 convolution.

    In variants D of averages of 2x2 pixels instead; at the border of an odd size of those that there are.
    """
    in_channels, channels, stride = block.in_channels, block.channels, block.stride
    if not block.has_projection:
        return nn.Identity()
    if block.vd:
        mean = nn.Identity() if stride == 1 else nn.AvgPool2d(2, 2, pad_mode="same")
        return nn.SequentialCell(mean, conv1x1(in_channels, channels), batch_norm(channels))
    return nn.SequentialCell(conv1x1(in_channels, channels, stride, bias), batch_norm(channels))


class ResidualBlock(Block):
    """activation(branch(shift(x)) + identity), then the non-local block, if any.

    Attributes:
        downsample: projection on the identity path, or identity.
        non_local: non-local block or identity.
        activation: after every norm and after the sum.
    """

    def __init__(self, block: resnet.ResidualBlock, spec: ModelSpec) -> None:
        super().__init__(spec, block.name, spec.num_segments if block.stage == 1 else spec.output_segments)
        self.activation = Activation(spec.negative_slope)

    def add_paths(self, block: resnet.ResidualBlock, spec: ModelSpec) -> None:
        """Add what comes after the branch."""
        self.downsample = projection(block, bias=spec.motion is not None)
        self.non_local: nn.Cell = nn.Identity()
        if block.name in spec.non_local_blocks:
            self.non_local = NonLocalBlock(block.channels, self.segments, spec.non_local_form)

    def branch(self, x: Tensor) -> Tensor:
        """The residual branch up to its last batch norm: (N * T, C, H, W) to (N * T, C', H', W')."""
        raise NotImplementedError

    def construct(self, x: Tensor, survival: Tensor | None = None) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H', W'); `survival` holds N factors on the branch."""
        return self.after_shift(x, self.shift(x), survival)

    def after_shift(self, x: Tensor, shifted: Tensor, survival: Tensor | None = None) -> Tensor:
        """The block's output from its input and the shifted one: (N * T, C, H, W) to (N * T, C', H', W')."""
        identity = self.downsample(shifted if self.shifts_identity else x)
        branch = self.branch(shifted)
        if survival is not None:
            factors = ops.repeat_interleave(survival, x.shape[0] // survival.shape[0], 0)
            branch = branch * factors.reshape((-1, 1, 1, 1))
        return self.non_local(self.activation(branch + identity))


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions (ResNet-34 and smaller)."""

    def __init__(self, block: resnet.ResidualBlock, spec: ModelSpec) -> None:
        super().__init__(block, spec)
        self.conv1 = conv3x3(block.in_channels, block.width, block.stride)
        self.bn1 = batch_norm(block.width)
        self.conv2 = conv3x3(block.width, block.width)
        self.bn2 = batch_norm(block.width)
        self.add_paths(block, spec)

    def branch(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, width, H / stride, W / stride)."""
        x = self.activation(self.bn1(self.conv1(x)))
        return self.bn2(self.conv2(x))


class Bottleneck(ResidualBlock):
    """1x1, 3x3 (with the stride, as in torchvision) and 1x1 convolutions (ResNet-50 and deeper)."""

    def __init__(self, block: resnet.ResidualBlock, spec: ModelSpec) -> None:
        super().__init__(block, spec)
        bias = spec.motion is not None
        self.conv1 = conv1x1(block.in_channels, block.width, bias=bias)
        self.bn1 = batch_norm(block.width)
        self.conv2 = conv3x3(block.width, block.width, block.stride, bias)
        self.bn2 = batch_norm(block.width)
        self.conv3 = conv1x1(block.width, block.channels, bias=bias)
        self.bn3 = batch_norm(block.channels)
        self.add_paths(block, spec)

    def branch(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N * T, 4 * width, H / stride, W / stride)."""
        x = self.activation(self.bn1(self.conv1(x)))
        x = self.activation(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class Stage(nn.SequentialCell):
    """The blocks of a stage, one after the other."""

    def construct(self, x: Tensor, survival: Tensor | None = None) -> Tensor:
        """(N * T, C, H, W) to (N * T, C', H', W'); `survival` holds (N, blocks) factors on the branches."""
        for index, block in enumerate(self.cell_list):
            x = block(x) if survival is None else block(x, survival[:, index])
        return x


class TemporalPool(nn.Cell):
    """Max-pooling over time, kernel 3, stride 2, padding 1: (N * T, C, H, W) to (N * T / 2, C, H, W)."""

    def __init__(self, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.pool = nn.MaxPool2d((3, 1), (2, 1), pad_mode="pad", padding=(1, 0))

    def construct(self, x: Tensor) -> Tensor:
        """Halve the number of frames."""
        channels, height, width = x.shape[1:]
        frames = x.reshape((-1, 1, self.segments, channels * height * width))
        return self.pool(frames).reshape((-1, channels, height, width))


class ResNet(Backbone):
    """ResNet from frames to pooled features.

    Attributes:
        starts: numbers of the first blocks of the second, third and fourth stage.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.starts = tuple(accumulate(RESNETS[spec.backbone].depths[:3]))
        if RESNETS[spec.backbone].vd:
            self.conv1 = deep_stem(spec.frame_channels, spec.width, spec.negative_slope)
        else:
            self.conv1 = conv7x7(spec.frame_channels, spec.width, bias=spec.motion is not None)
        self.bn1 = batch_norm(spec.width)
        self.activation = Activation(spec.negative_slope)
        self.stem_pool = nn.MaxPool2d(3, 2, pad_mode="pad", padding=1)
        self.layer1 = self._stage(1)
        self.temporal_pool = TemporalPool(spec.num_segments) if spec.temporal_pool else nn.Identity()
        self.layer2 = self._stage(2)
        self.layer3 = self._stage(3)
        self.layer4 = self._stage(4)

    def _stage(self, stage: int) -> Stage:
        """`layer1` to `layer4`."""
        blocks = RESNETS[self.spec.backbone].blocks(self.spec.width)
        return Stage(*(self.make_block(block) for block in blocks if block.stage == stage))

    def make_block(self, block: resnet.ResidualBlock) -> ResidualBlock:
        """Build a block with the shift and the non-local block that the spec asks for."""
        kind = BasicBlock if RESNETS[self.spec.backbone].block == "basic" else Bottleneck
        return kind(block, self.spec)

    def stem(self, x: Tensor) -> Tensor:
        """Frames (N * T, C, H, W) to the input of the first block, at a quarter of their size."""
        return self.stem_pool(self.activation(self.bn1(self.conv1(x))))

    def construct(self, x: Tensor, survival: Tensor | None = None) -> Tensor:
        """(N * T, C, H, W) to (N * T', F), T' = T / 2 with temporal pooling; `survival` has a column per block."""
        first, second, third, fourth = self._columns(survival)
        x = self.temporal_pool(self.layer1(self.stem(x), first))
        return self.pool(self.layer4(self.layer3(self.layer2(x, second), third), fourth))

    def _columns(self, survival: Tensor | None) -> tuple[Tensor | None, ...]:
        """The columns of each stage."""
        if survival is None:
            return None, None, None, None
        two, three, four = self.starts
        return survival[:, :two], survival[:, two:three], survival[:, three:four], survival[:, four:]
