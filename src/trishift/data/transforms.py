"""Transforms from decoded frames to network input.

Reproduces the pipelines of TSN, TSM and TRN pixel by pixel: PIL's antialiased bilinear resize (OpenCV's does not
antialias), torchvision's center crop, the 13 positions of TSN's multi-scale crop, and the order of evaluation crops.
Frames are (T, H, W, F) uint8, with F = 3 for RGB and 2 for optical flow (x, y). Views are (T, F, H, W) float32, from
which `stack_segments` builds the network's C channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from trishift.data.augmentation.bounds import Range, check_range
from trishift.data.augmentation.colors import ColorSpec, jitter_colors
from trishift.data.augmentation.rand_augment import RandAugmentSpec, rand_augment
from trishift.data.augmentation.rectangles import ErasingSpec, ResizedCropSpec, draw_resized_crop, erase
from trishift.errors import RecipeError
from trishift.model.spec import FORBID_UNKNOWN_KEYS, InputSpec

Crops = Literal["center", "three", "five", "ten"]
MAX_SPEED = 8
_SNAP = 3  # pixels; crop sizes closer than this to the network's input are set to it


class Box(NamedTuple):
    """A rectangle of pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class AugmentationSpec:
    """Training augmentation, in a recipe. By default it is TSN's: a multi-scale crop and a flip.

    Attributes:
        scales: sides of the crop relative to the short side of the frame.
        max_distort: maximum distance of width and height, in steps of `scales`.
        flip: `none`; `mirror`: mirror half of the clips; `swap_labels`: also swap the labels of classes that are mirror
            images of each other (`directions.mirrored_labels`).
        resized_crop: a random resized crop in place of the multi-scale crop, or None.
        rand_augment: RandAugment.
        color: color jitter.
        erasing: random erasing.
        speed: range of playback speeds, see `augmentation.timing`.
        reverse: `none`; `same_labels`: play half of the clips backward; `swap_labels`: also swap the labels of classes
            that turn into each other, and never reverse clips of a class that turns into none of the list
            (`directions.reversed_labels`).
        opposites: pairs of classes that turn into each other, where their names do not show it; a class paired with
            itself looks the same backward.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    max_distort: int = 1
    flip: Literal["none", "mirror", "swap_labels"] = "mirror"
    resized_crop: ResizedCropSpec | None = None
    rand_augment: RandAugmentSpec = field(default_factory=RandAugmentSpec)
    color: ColorSpec = field(default_factory=ColorSpec)
    erasing: ErasingSpec = field(default_factory=ErasingSpec)
    speed: Range = (1.0, 1.0)
    reverse: Literal["none", "same_labels", "swap_labels"] = "none"
    opposites: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise RecipeError("augmentation.scales: give one or more factors in (0, 1]")
        if self.max_distort < 0:
            raise RecipeError("augmentation.max_distort must not be negative")
        check_range("augmentation.speed", self.speed, 0, MAX_SPEED)
        if self.opposites and self.reverse == "none":
            raise RecipeError("augmentation.opposites: applies to reversed clips; set augmentation.reverse=swap_labels")

    @property
    def recolors(self) -> str | None:
        """The first option that is on and needs RGB frames."""
        return "rand_augment" if self.rand_augment.operations else "color" if self.color.active else None


def train_augmentation(
    frames: np.ndarray,
    input_spec: InputSpec,
    rng: np.random.Generator,
    augmentation: AugmentationSpec = AugmentationSpec(),
) -> tuple[np.ndarray, bool]:
    """Randomly crop, resize, mirror and change a clip, with the same parameters for all frames.

    Args:
        frames: (T, H, W, F) uint8.
        input_spec: input format of the network.
        rng: random generator.
        augmentation: distribution of crops, flips and changes.

    Returns:
        (T, F, crop, crop) float32 and whether the clip was mirrored.
    """
    height, width = frames.shape[1:3]
    if augmentation.resized_crop is None:
        box = draw_crop(height, width, input_spec.crop, augmentation, rng)
    else:
        size = input_spec.crop, input_spec.crop
        box = Box(*draw_resized_crop(height, width, size, augmentation.resized_crop, rng))
    flipped = augmentation.flip != "none" and bool(rng.random() < 0.5)
    pixels = resize(crop(frames, box), input_spec.crop, input_spec.crop)
    if flipped:
        pixels = mirror(pixels, input_spec)
    pixels = jitter_colors(rand_augment(pixels, augmentation.rand_augment, rng), augmentation.color, rng)
    return erase(normalize(pixels, input_spec), augmentation.erasing, rng), flipped


def evaluation_views(
    frames: np.ndarray, input_spec: InputSpec, crops: Crops = "center", full_resolution: bool = False
) -> np.ndarray:
    """Create the views of a clip whose logits are averaged in evaluation.

    The short side is resized to `input_spec.resize`, and crops are squares of `input_spec.crop` (`resize` if
    full_resolution). View order, as in the originals: `three`: left, right, center (top, bottom, center for portrait
    clips); `five`: upper left, upper right, lower left, lower right, center; `ten`: the same, each followed by its
    mirror image.

    Returns:
        (V, T, F, side, side) float32 with V = 1, 3, 5 or 10.
    """
    side = input_spec.resize if full_resolution else input_spec.crop
    height, width = resized_size(frames.shape[1], frames.shape[2], input_spec.resize)
    resized = resize(frames, height, width)
    views = [crop(resized, box) for box in crop_boxes(height, width, side, crops)]
    if crops == "ten":
        views = [mirrored for view in views for mirrored in (view, mirror(view, input_spec))]
    return np.stack([normalize(view, input_spec) for view in views])


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """(height, width) after resizing the short side to `short_side`, with the long side rounded down."""
    if height <= width:
        return short_side, int(short_side * width / height)
    return int(short_side * height / width), short_side


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize to (T, height, width, F) uint8 with PIL's bilinear filter, antialiased when shrinking."""
    if frames.shape[1:3] == (height, width):
        return frames
    if frames.shape[3:] == (2,):  # PIL has no mode with two such channels
        return np.stack([resize(frames[..., i], height, width) for i in range(2)], axis=-1)
    pictures = (Image.fromarray(frame) for frame in np.ascontiguousarray(frames))
    return np.stack([np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)) for picture in pictures])


def crop(frames: np.ndarray, box: Box) -> np.ndarray:
    """Crop to (T, box.height, box.width, F); returns a view."""
    return frames[:, box.top : box.top + box.height, box.left : box.left + box.width]


def mirror(frames: np.ndarray, input_spec: InputSpec) -> np.ndarray:
    """Swap left and right in (T, H, W, F) uint8; in flow, the sign of horizontal motion is also inverted."""
    mirrored = frames[:, :, ::-1]
    if input_spec.modality == "flow":
        mirrored = mirrored.copy()
        mirrored[..., 0] = 255 - mirrored[..., 0]
    return mirrored


def normalize(frames: np.ndarray, input_spec: InputSpec) -> np.ndarray:
    """Convert (T, H, W, F) uint8 to (T, F, H, W) float32 with the spec's channel order, scale, mean and deviation."""
    if input_spec.modality == "flow":
        channels: tuple[int, ...] = (0, 1)
    else:
        channels = (0, 1, 2) if input_spec.channel_order == "rgb" else (2, 1, 0)
    out = np.empty((len(frames), len(channels), *frames.shape[1:3]), np.float32)
    for place, (channel, mean, std) in enumerate(zip(channels, input_spec.mean, input_spec.std, strict=True)):
        np.multiply(frames[..., channel], np.float32(input_spec.scale / std), out=out[:, place])
        out[:, place] -= np.float32(mean / std)
    return out


def stack_segments(frames: np.ndarray, input_spec: InputSpec, length: int) -> np.ndarray:
    """Stack normalized frames (..., S * length, F, H, W) into the channels of segments (..., S, C, H, W).

    The frames of a segment are concatenated on the channel axis: RGB r1 g1 b1 r2 ..., flow x1 y1 x2 y2 ... For RGB
    differences, `length` frames yield length - 1 differences of each frame and the previous one.
    """
    *views, count, channels, height, width = frames.shape
    segments = frames.reshape(*views, count // length, length, channels, height, width)
    if input_spec.modality == "rgbdiff":
        segments = np.diff(segments, axis=-4)
    return segments.reshape(*views, count // length, -1, height, width)


def draw_crop(height: int, width: int, side: int, augmentation: AugmentationSpec, rng: np.random.Generator) -> Box:
    """Draw TSN's multi-scale crop: a size and one of 13 positions, all equally likely."""
    box_width, box_height = _draw_choice(_crop_sizes(height, width, side, augmentation), rng)
    left, top = _draw_choice(_thirteen_positions(height - box_height, width - box_width), rng)
    return Box(left, top, box_width, box_height)


def _crop_sizes(height: int, width: int, side: int, augmentation: AugmentationSpec) -> list[tuple[int, int]]:
    """(width, height) pairs: scaled short sides, snapped to the network's input, not too far from square."""
    base = min(height, width)
    lengths = [max(1, int(base * scale)) for scale in augmentation.scales]
    lengths = [min(side, base) if abs(length - side) < _SNAP else length for length in lengths]
    return [
        (lengths[j], lengths[i])
        for i in range(len(lengths))
        for j in range(len(lengths))
        if abs(i - j) <= augmentation.max_distort
    ]


def _thirteen_positions(spare_height: int, spare_width: int) -> list[tuple[int, int]]:
    """(left, top): corners, center, middles of the edges, and the four quarter points."""
    x, y = spare_width // 4, spare_height // 4
    corners = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
    edges = [(0, 2), (4, 2), (2, 4), (2, 0)]
    quarters = [(1, 1), (3, 1), (1, 3), (3, 3)]
    return [(i * x, j * y) for i, j in corners + edges + quarters]


def _draw_choice(choices: list[tuple[int, int]], rng: np.random.Generator) -> tuple[int, int]:
    return choices[int(rng.integers(len(choices)))]


def crop_boxes(height: int, width: int, side: int, crops: Crops) -> list[Box]:
    """Square evaluation crops of a frame; for `ten` the same as `five`, without the mirror images."""
    spare_height, spare_width = height - side, width - side
    if crops == "center":
        return [Box(round(spare_width / 2), round(spare_height / 2), side, side)]
    x, y = spare_width // 4, spare_height // 4
    if crops == "three":
        grid = [(0, 2), (4, 2), (2, 2)] if width >= height else [(2, 0), (2, 4), (2, 2)]
    else:
        grid = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
    return [Box(i * x, j * y, side, side) for i, j in grid]
