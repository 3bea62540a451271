"""Motion modules of networks whose segments are windows of five frames: MSN and TDN."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.model.layers import Layers, Maps, changed, conv, in_part, normed

MOTION_FRAMES = 5  # consecutive frames per segment
MOTION_REDUCTION = 4  # MSN's motion modules use a quarter of the channels
DIFFERENCE_REDUCTION = 16  # TDN's long-term modules use a sixteenth
MotionKind = Literal["msn", "tdn"]


@dataclass(frozen=True)
class MotionSpec:
    """Motion modules: MSN (Gu et al. 2024, Front. Neurosci. 18:1370024) or TDN (Wang et al. 2021, arXiv:2012.10071).

    A segment is a window of `MOTION_FRAMES` frames. A map of the differences within the window joins the features of
    its middle frame twice (STP-ME in MSN, the short-term module in TDN). In later blocks, changes between segments
    weight channels (DS-ME) or pixels (the long-term module), and a learned convolution over time is the shift.

    Attributes:
        kind: `msn` (motion sensitive network) or `tdn` (temporal difference network).
        window: segments that DS-ME compares with each other. Longer clips are split into independent windows, like the
            original's clips of 16 segments. None: the whole clip, as always in TDN.
        stem_share: weight of the motion map in the fusion after the stem; the frame's features have the rest
            (published: 0.5 for 8 segments, 0.25 for 16).
        layer1_share: the same for the fusion after layer1 (published: 0.25 in MSN; in TDN that of the stem).

    Example:
        >>> from trishift.model.motion import tdn
        >>> tdn(16).stem_share
        0.25
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    kind: MotionKind = "msn"
    window: int | None = 8
    stem_share: float = 0.5
    layer1_share: float = 0.25

    def __post_init__(self) -> None:
        for name in ("stem_share", "layer1_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise RecipeError(f"motion.{name}: {getattr(self, name)} is not in [0, 1]; use a share from 0 to 1")
        if self.window is not None and self.kind == "tdn":
            raise RecipeError(f"motion.window: TDN compares all segments of a clip, not {self.window}; use null")
        if self.window is not None and self.window < 2:
            raise RecipeError(f"motion.window: {self.window} is too small, comparing takes 2 segments; use 2 or more")

    @property
    def title(self) -> str:
        """The network's name: MSN or TDN."""
        return self.kind.upper()


def tdn(num_segments: int) -> MotionSpec:
    """The motion modules of a published TDN: its code gives motion another share for 8 segments than for the rest."""
    share = 0.5 if num_segments == 8 else 0.25
    return MotionSpec("tdn", None, share, share)


# Layers of MSN


def motion_pyramid(frames: Maps, width: int) -> Layers:
    """STP-ME: from single frames to a motion map of a quarter of their size."""
    name, inner = "pyramid", width // MOTION_REDUCTION
    pixels = replace(frames, channels=(MOTION_FRAMES - 1) * frames.channels)
    differences = replace(frames, frames=2 * frames.frames)
    x = yield from conv(f"{name}.conv1", differences, inner, 7, 2, start="fan_in_uniform")
    yield from conv(f"{name}.conv2", replace(x, frames=frames.frames), width, 5, start="fan_in_uniform")
    pixel_conv = conv(f"{name}.pixel_conv", pixels.halved(), width, 7, 2, start="fan_in_uniform")
    yield from normed(pixel_conv, f"{name}.pixel_bn")
    both = replace(x.halved(), channels=2 * inner, frames=frames.frames)
    feature_conv = conv(f"{name}.feature_conv", both, width, 5, start="fan_in_uniform")
    return (yield from normed(feature_conv, f"{name}.feature_bn"))


def motion_excitation(name: str, x: Maps, window: int) -> Layers:
    """DS-ME: the weights of channels, from changes within windows."""
    inner = x.channels // MOTION_REDUCTION
    y = yield from normed(conv(f"{name}.reduce", x, inner, 1, bias="zeros"), f"{name}.reduce_bn")
    following = replace(y, frames=y.frames // window * (window - 1))  # the last segment of a window has no next one
    for k in (3, 5):
        deformable = f"{name}.deformable{k}"
        kernel = conv(deformable, following, inner, k, start="fan_in_uniform", bias="fan_in_uniform")
        yield from in_part("deformable", kernel)
        yield from conv(f"{deformable}.offset", following, 2 * k * k, k, start="offset", bias="zeros")
    yield from normed(conv(f"{name}.pooled", following, inner, 1, bias="zeros"), f"{name}.pooled_bn")
    temporal = conv(f"{name}.temporal", y, inner, (3, 3, 3), start="fan_in_uniform", bias="fan_in_uniform")
    yield from normed(temporal, f"{name}.temporal_bn")
    yield from normed(conv(f"{name}.expand", y.averaged(), x.channels, 1, bias="zeros"), f"{name}.expand_bn")
    return x


# Layers of TDN


def short_term(frames: Maps, width: int) -> Layers:
    """The short-term module: from single frames to a motion map of an eighth of their size."""
    x = replace(frames.pooled(), channels=(MOTION_FRAMES - 1) * frames.channels)
    convolution = conv("short_term.conv", x, width, 7, 2)
    as_image = changed(convolution, lambda layer: replace(layer, image_layer="conv1"))
    x = yield from normed(as_image, "short_term.bn")
    return x.halved()


def long_term(name: str, x: Maps) -> Layers:
    """The long-term module: the weights of pixels, from changes to both neighbors."""
    inner = x.channels // DIFFERENCE_REDUCTION
    y = yield from normed(conv(f"{name}.reduce", x, inner, 1), f"{name}.reduce_bn")
    yield from conv(f"{name}.depthwise", y, inner, 3, groups=inner)
    changes = replace(y, frames=2 * y.frames)
    yield from normed(conv(f"{name}.pooled", changes.pooled(), inner, 3), f"{name}.pooled_bn")
    yield from normed(conv(f"{name}.whole", changes, inner, 3), f"{name}.whole_bn")
    yield from normed(conv(f"{name}.expand", changes, x.channels, 1), f"{name}.expand_bn")
    return x
