"""Frozen, framework-free model descriptions, shared by recipes, builders, converters and exporters.

A `ModelSpec` defines the network, an `InputSpec` the pixels it expects. Checkpoints store both as JSON, see
`serialization`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, get_args

from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.model.backbones import BACKBONES, layout
from trishift.model.motion import MotionSpec
from trishift.model.non_local import NON_LOCAL_BLOCKS, NonLocalForm
from trishift.model.sizes import SIZE_FORM, Size, WrittenSize, covers, size_of, size_text, written_size

if TYPE_CHECKING:
    Backbone = str
else:
    Backbone = Literal[tuple(BACKBONES)]  # for schemas, which list the names
RelationMode = Literal["expected", "all", "first", "sampled"]
RELATION_MODES: tuple[RelationMode, ...] = get_args(RelationMode)
Modality = Literal["rgb", "flow", "rgbdiff"]
FRAME_CHANNELS: dict[Modality, int] = {
    "rgb": 3,
    "flow": 2,
    "rgbdiff": 3,
}  # per frame, before frames are stacked into segments


@dataclass(frozen=True)
class ShiftSpec:
    """Temporal shift: where and how features move along time (TSM, Lin et al. 2019, arXiv:1811.08383).

    With f = C // div, the first fold is channels [0, f), the second [f, 2f), see `folds`. Frames outside the clip are
    zero.

    Attributes:
        div: a fold has C // div channels.
        direction: `bidirectional` shifts both folds; `unidirectional` (online) shifts only the first one, from t-1.
        order: source of the first fold when bidirectional. `future_first` (first fold from t+1, second from t-1) is the
            original's order; `past_first` is PaddleVideo's.
        placement: `blockres` shifts the input of the residual branch (in the published selection of blocks); `block`
            shifts the input of the whole block, including its identity path; a tuple of block names shifts the branch
            inputs of these blocks (in Inception networks, which have no residual branches, the block inputs).

    Example:
        >>> from trishift.model.spec import ShiftSpec
        >>> online = ShiftSpec(div=8, direction="unidirectional")
        >>> online.placement
        'blockres'
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    div: int = 8
    direction: Literal["bidirectional", "unidirectional"] = "bidirectional"
    order: Literal["future_first", "past_first"] = "future_first"
    placement: Literal["block", "blockres"] | tuple[str, ...] = "blockres"

    @property
    def origins(self) -> tuple[int, ...]:
        """The frame that each fold comes from, relative to the frame that it moves to."""
        if self.direction == "unidirectional":
            return (-1,)
        return (1, -1) if self.order == "future_first" else (-1, 1)

    def folds(self, channels: int) -> tuple[int, ...]:
        """Channels of each fold; the second of Paddle's operator ends at 2 C // div and may have one channel more."""
        fold = channels // self.div
        if self.direction == "unidirectional":
            return (fold,)
        return (fold, fold if self.order == "future_first" else 2 * channels // self.div - fold)


@dataclass(frozen=True)
class HeadSpec:
    """The head: from the features of T frames to the logits of a clip.

    Attributes:
        consensus: `average` of per-frame logits (TSN, TSM); `relation` over all T frames (TRN);
            `multiscale_relation` over scales of T, T-1, ..., 2 frames (multi-scale TRN, Zhou et al. 2018,
            arXiv:1711.08496).
        relation_width: size of the per-frame features that feed the relations.
        hidden_width: size of a relation's hidden layer; None: the published size (512 single, 256 multi-scale).
        relations_per_scale: relations that the published head draws per scale (except the largest).
        relations: the relations used in evaluation: `expected` (expectation of the random draw, from all relations),
            `all` (plain sum), `first` (the lexicographically first ones) or `sampled` (the published draw, seeded).
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    consensus: Literal["average", "relation", "multiscale_relation"] = "average"
    relation_width: int = 256
    hidden_width: int | None = None
    relations_per_scale: int = 3
    relations: RelationMode = "expected"

    def scales(self, num_segments: int) -> tuple[int, ...]:
        """Frames per relation at every scale, largest first; empty for `average`."""
        if self.consensus == "average":
            return ()
        return (num_segments,) if self.consensus == "relation" else tuple(range(num_segments, 1, -1))

    @property
    def relation_hidden_width(self) -> int:
        """`hidden_width`, or the published size."""
        return self.hidden_width or (512 if self.consensus == "relation" else 256)


_LIMITS = {  # of numbers, so that no description of a few bytes stands for an endless network
    "num_segments": (1, 4096), "in_channels": (1, 4096), "width": (1, 4096), "num_classes": (0, 1_000_000)
}  # fmt: skip
_MOST_RELATED = 20  # frames


@dataclass(frozen=True)
class ModelSpec:
    """A video recognizer: (N, T, C, H, W) clips in, (N, K) logits out.

    Attributes:
        backbone: the 2-D network applied to every frame.
        num_classes: K; 0 in a recipe means the number of classes in the label file.
        num_segments: T, the segments (frames) per clip.
        in_channels: C per segment, see `segment_length` (one RGB frame: 3; flow of 5 frames: 10; 5 differences: 15).
        width: stem width of a ResNet (64 in all published networks; smaller values make toy models).
        negative_slope: slope of a ResNet's activations below zero: 0 is ReLU, 0.01 the leaky ReLU of PP-TSM.
        shift: temporal shift, or None (TSN, TRN, MSN, TDN).
        motion: the motion modules of MSN or TDN (ResNet-50 and deeper, in_channels 15), or None.
        non_local: the five non-local blocks of NL-TSM (ResNet-50 and deeper).
        non_local_form: how non-local blocks compare two positions, see the backends' `NonLocalBlock`. All published TSM
            models use `embedded_gaussian`, except some of mmaction2's.
        temporal_pool: halve T by max pooling before layer2 (ResNet).
        temporal_attention: weigh the frames before the shifted block (PP-LCNetV2), as PP-TSMv2 of 16 frames does.
        head: from frame features to clip logits.
        dropout: probability of dropping a pooled feature in training.
        multi_label: whether clips can have several labels. Logits then belong to independent classes (sigmoid) instead
            of exclusive ones (softmax). Recipes omit it: the training loss decides.

    Example:
        >>> from trishift.model.spec import ModelSpec, ShiftSpec
        >>> tsn = ModelSpec("resnet50", num_classes=400)
        >>> tsm = ModelSpec("resnet50", num_classes=400, num_segments=16, shift=ShiftSpec())
        >>> tsn.shift is None, tsm.shift.direction
        (True, 'bidirectional')
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    backbone: Backbone = "resnet50"
    num_classes: int = 0
    num_segments: int = 8
    in_channels: int = 3
    width: int = 64
    negative_slope: float = 0.0
    shift: ShiftSpec | None = None
    motion: MotionSpec | None = None
    non_local: bool = False
    non_local_form: NonLocalForm = "embedded_gaussian"
    temporal_pool: bool = False
    temporal_attention: bool = False
    head: HeadSpec = field(default_factory=HeadSpec)
    dropout: float = 0.5
    multi_label: bool = False

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise RecipeError(f"backbone: {self.backbone!r} is unknown; one of {', '.join(BACKBONES)}")
        for name, (least, most) in _LIMITS.items():
            if getattr(self, name) < least:
                raise RecipeError(f"{name}: must be {least} or more, not {getattr(self, name)}")
            if getattr(self, name) > most:
                raise RecipeError(f"{name}: must be {most:,} or less, not {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise RecipeError(f"dropout: {self.dropout} is not in [0, 1)")
        self._check_shift()
        self._check_options()
        if self.head.consensus != "average" and self.num_segments < 2:
            raise RecipeError("head: relations need num_segments of 2 or more")
        if self.head.consensus == "multiscale_relation" and self.output_segments > _MOST_RELATED:
            raise RecipeError(
                f"head: multiscale_relation lists all tuples of frames, 2 to the power of num_segments; use "
                f"{_MOST_RELATED} segments or less"
            )

    def _check_shift(self) -> None:
        if self.shift is None:
            return
        if self.shift.div < 2:
            raise RecipeError(f"shift.div: {self.shift.div} would shift more channels than there are; use 2 or more")
        backbone, placement = self.backbone, self.shift.placement
        if placement == "blockres" and not BACKBONES[backbone].residual_blocks:
            raise RecipeError(f"shift.placement: {backbone} has no residual blocks; use 'block' or a list of blocks")
        if isinstance(placement, tuple):
            unknown = [name for name in placement if name not in layout(self).inputs]
            if unknown:
                raise RecipeError(f"shift.placement: {backbone} has no block {unknown[0]!r}")

    def _check_options(self) -> None:
        """Refuse what the backbone does not know."""
        network = BACKBONES[self.backbone]
        for option in sorted({option for other in BACKBONES.values() for option in other.options} - network.options):
            if getattr(self, option) != getattr(type(self), option):  # the default
                others = (other for other in BACKBONES.values() if option in other.options)
                titles = ", ".join(dict.fromkeys(other.title or other.name for other in others))
                raise RecipeError(f"{option}: is for {titles}, not {self.backbone}; omit it")
        network.check(self)

    @property
    def motion_window(self) -> int:
        """Segments that motion modules compare with each other."""
        return (self.motion and self.motion.window) or self.num_segments

    @property
    def frame_channels(self) -> int:
        """Input channels of the backbone's first convolution: in_channels, or one frame's channels for MSN and TDN."""
        return FRAME_CHANNELS["rgb"] if self.motion else self.in_channels

    @property
    def shifted_blocks(self) -> tuple[str, ...]:
        """Names of the shifted blocks, in network order."""
        if self.shift is None:
            return ()
        if isinstance(self.shift.placement, tuple):
            return tuple(name for name in layout(self).inputs if name in self.shift.placement)
        if self.shift.placement == "block":
            return tuple(layout(self).inputs)
        return BACKBONES[self.backbone].residual_blocks

    @property
    def shifts_identity(self) -> bool:
        """Whether the identity path of a shifted block sees the shifted features, too."""
        return self.shift is not None and self.shift.placement == "block"

    @property
    def non_local_blocks(self) -> tuple[str, ...]:
        """Names of the blocks followed by a non-local block."""
        return NON_LOCAL_BLOCKS if self.non_local else ()

    @property
    def output_segments(self) -> int:
        """Segments that reach the head: T, or T / 2 after temporal pooling."""
        return self.num_segments // 2 if self.temporal_pool else self.num_segments

    @property
    def feature_width(self) -> int:
        """Channels of a frame's pooled features."""
        return layout(self).features.channels


@dataclass(frozen=True)
class InputSpec:
    """The pixels a network expects. Frames are decoded as uint8 RGB, optical flow as uint8 (x, y).

    Attributes:
        modality: `rgb`, optical `flow`, or `rgbdiff` (differences of consecutive frames, in normalized pixels).
        resize: frames are resized, keeping their shape, until they just cover this size (a number: the short side).
        crop: size of the network input, no larger than `resize` in height and width.
        channel_order: color order of the network input.
        scale: factor on 0..255 pixels, applied before the mean is subtracted (1/255, or 1 for Caffe networks).
        mean, std: per channel of a frame (flow: x and y), in network order, after `scale`.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    modality: Modality = "rgb"
    resize: WrittenSize = field(default=256, metadata={"form": SIZE_FORM})
    crop: WrittenSize = field(default=224, metadata={"form": SIZE_FORM})
    channel_order: Literal["rgb", "bgr"] = "rgb"
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for name in ("resize", "crop"):  # equal sizes are written in the same way
            object.__setattr__(self, name, written_size(size_of(getattr(self, name))))
        if min(self.crop_size) < 1 or not covers(self.resize_size, self.crop_size):
            texts = [str(size) if isinstance(size, int) else size_text(size) for size in (self.resize, self.crop)]
            raise RecipeError(f"input: resize ({texts[0]}) must be at least crop ({texts[1]}), and crop positive")
        channels = FRAME_CHANNELS[self.modality]
        if {len(self.mean), len(self.std)} != {channels} or min(self.std) <= 0:
            raise RecipeError(
                f"input: {self.modality} needs {channels} means and {channels} positive standard deviations"
            )

    @property
    def resize_size(self) -> Size:
        """`resize` as (height, width)."""
        return size_of(self.resize)

    @property
    def crop_size(self) -> Size:
        """`crop` as (height, width)."""
        return size_of(self.crop)

    def with_crop(self, crop: WrittenSize) -> InputSpec:
        """The same pixels with another crop; `resize` grows where it would be smaller."""
        (height, width), resize = size_of(crop), self.resize_size
        covered = max(height, resize[0]), max(width, resize[1])
        return replace(self, crop=(height, width), resize=covered)


CAFFE_INPUT = InputSpec(channel_order="bgr", scale=1.0, mean=(104.0, 117.0, 128.0), std=(1.0, 1.0, 1.0))
"""BNInception's input (TSN's Caffe conversion): BGR, 0..255, mean only. InceptionV3 has larger pictures."""


def default_input(backbone: str, modality: Modality = "rgb") -> InputSpec:
    """The input that published weights of a backbone expect (TSN, TSM).

    Flow: the gray value of no motion maps to zero, and both directions share the mean of the colors' standard
    deviations. RGB differences are computed from pixels that are scaled but not normalized.
    """
    network = BACKBONES[backbone]
    base = CAFFE_INPUT if network.caffe_pixels else InputSpec()
    base = replace(base, resize=network.resize, crop=network.crop)
    if modality == "flow":
        still = 128.0 if base.scale == 1 else 0.5
        return replace(base, modality="flow", mean=(still,) * 2, std=(sum(base.std) / 3,) * 2)
    if modality == "rgbdiff":
        return replace(base, modality="rgbdiff", mean=(0.0,) * 3, std=(1.0,) * 3)
    return base


def block_names(backbone: str) -> tuple[str, ...]:
    """Canonical names of the blocks of a backbone that can be shifted, in network order."""
    return tuple(layout(ModelSpec(backbone)).inputs)
