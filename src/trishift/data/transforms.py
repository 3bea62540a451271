"""Transforms from decoded frames to network input.

Reproduces the pipelines of TSN, TSM and TRN pixel by pixel: PIL's antialiased bilinear resize (OpenCV's does not
antialias), torchvision's center crop, the 13 positions of TSN's multi-scale crop, and the order of evaluation crops.
Frames are (T, H, W, F) uint8, with F = 3 for RGB and 2 for optical flow (x, y). Views are (T, F, H, W) float32, or
uint8 if the device normalizes them, from which `stack_segments` builds the network's C channels.
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
from trishift.io.typed import FORBID_UNKNOWN_KEYS
from trishift.model.pixels import normalization
from trishift.model.sizes import SIZE_FORM, Size, WrittenSize, size_of
from trishift.model.spec import InputSpec

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
        size: size of training clips; null: `input.crop`. Networks without fully connected layers on feature maps
            train faster and generalize better at a size somewhat smaller than that of their predictions (FixRes,
            arXiv:1906.06423).
        scales: sides of the crop relative to the largest box in the frame that has the shape of `size`.
        max_distort: maximum distance between the scales of width and height, in steps of `scales`.
        flip: `none`; `mirror`: mirror half of the clips; `swap_labels`: also swap the labels of classes that are mirror
            images of each other (`directions.mirrored_labels`).
        resized_crop: a random resized crop in place of the multi-scale crop, or None.
        rand_augment: RandAugment.
        color: color jitter.
        erasing: random erasing.
        speed: range of playback speeds, see `augmentation.timing`.
        jitter: largest offset of a part of a video from its marks, as a share of its length: networks that slide over
            long videos see windows beside actions. Whole videos are not affected.
        reverse: `none`; `same_labels`: play half of the clips backward; `swap_labels`: also swap the labels of classes
            that turn into each other, and never reverse clips of a class that turns into none of the list
            (`directions.reversed_labels`).
        opposites: pairs of classes that turn into each other, where their names do not show it; a class paired with
            itself looks the same backward.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    size: WrittenSize | None = field(default=None, metadata={"form": SIZE_FORM})
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    max_distort: int = 1
    flip: Literal["none", "mirror", "swap_labels"] = "mirror"
    resized_crop: ResizedCropSpec | None = None
    rand_augment: RandAugmentSpec = field(default_factory=RandAugmentSpec)
    color: ColorSpec = field(default_factory=ColorSpec)
    erasing: ErasingSpec = field(default_factory=ErasingSpec)
    speed: Range = (1.0, 1.0)
    jitter: float = 0.0
    reverse: Literal["none", "same_labels", "swap_labels"] = "none"
    opposites: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise RecipeError("augmentation.scales: give one or more factors in (0, 1]")
        if self.max_distort < 0:
            raise RecipeError("augmentation.max_distort must not be negative")
        check_range("augmentation.speed", self.speed, 0, MAX_SPEED)
        if not 0 <= self.jitter < 1:
            raise RecipeError(f"augmentation.jitter: {self.jitter:g} is not a share of a clip's length; use 0 to 0.5")
        if self.opposites and self.reverse == "none":
            raise RecipeError("augmentation.opposites: applies to reversed clips; set augmentation.reverse=swap_labels")

    def clip_size(self, input_spec: InputSpec) -> Size:
        """Height and width of training clips."""
        return input_spec.crop_size if self.size is None else size_of(self.size)

    @property
    def recolors(self) -> str | None:
        """The first option that is on and needs RGB frames."""
        return "rand_augment" if self.rand_augment.operations else "color" if self.color.active else None


def train_augmentation(
    frames: np.ndarray,
    input_spec: InputSpec,
    rng: np.random.Generator,
    augmentation: AugmentationSpec = AugmentationSpec(),
    raw: bool = False,
) -> tuple[np.ndarray, bool]:
    """Randomly crop, resize, mirror and change a clip, with the same parameters for all frames.

    Args:
        frames: (T, H, W, F) uint8.
        input_spec: input format of the network.
        rng: random generator.
        augmentation: distribution of crops, flips and changes.
        raw: neither normalize nor erase, which is done in normalized pixels.

    Returns:
        (T, F, *clip_size) float32, uint8 if `raw`, and whether the clip was mirrored.
    """
    height, width = frames.shape[1:3]
    size = augmentation.clip_size(input_spec)
    if augmentation.resized_crop is None:
        box = draw_crop(height, width, size, augmentation, rng)
    else:
        box = Box(*draw_resized_crop(height, width, size, augmentation.resized_crop, rng))
    flipped = augmentation.flip != "none" and bool(rng.random() < 0.5)
    pixels = resize(crop(frames, box), *size)
    if flipped:
        pixels = mirror(pixels, input_spec)
    pixels = jitter_colors(rand_augment(pixels, augmentation.rand_augment, rng), augmentation.color, rng)
    if raw:
        return planar(pixels, input_spec), flipped
    return erase(normalize(pixels, input_spec), augmentation.erasing, rng), flipped


def evaluation_views(
    frames: np.ndarray,
    input_spec: InputSpec,
    crops: Crops = "center",
    full_resolution: bool = False,
    raw: bool = False,
) -> np.ndarray:
    """Create the views of a clip whose logits are averaged in evaluation; `raw`: without normalizing them.

    Clips are resized to cover `input_spec.resize`, then cropped to `view_size`. View order, as in the originals:
    `three`: left, right, center (top, bottom, center for clips narrower than the view); `five`: upper left, upper
    right, lower left, lower right, center; `ten`: the same, each followed by its mirror image.

    Returns:
        (V, T, F, *view_size) float32, uint8 if `raw`, with V = 1, 3, 5 or 10.
    """
    views = evaluation_crops(frames, input_spec, crops, full_resolution)
    finish = planar if raw else normalize
    return np.stack([finish(view, input_spec) for view in views])


def evaluation_crops(
    frames: np.ndarray, input_spec: InputSpec, crops: Crops = "center", full_resolution: bool = False
) -> list[np.ndarray]:
    """The pixels of `evaluation_views`: V arrays of (T, *view_size, F) uint8."""
    size = view_size(input_spec, full_resolution)
    height, width = resized_size(frames.shape[1], frames.shape[2], input_spec.resize_size)
    resized = resize(frames, height, width)
    views = [crop(resized, box) for box in crop_boxes(height, width, size, crops)]
    if crops == "ten":
        views = [mirrored for view in views for mirrored in (view, mirror(view, input_spec))]
    return views


def view_size(input_spec: InputSpec, full_resolution: bool) -> Size:
    """Size of the views in evaluation: the network's input, or all that resizing is sure to leave."""
    return input_spec.resize_size if full_resolution else input_spec.crop_size


def resized_size(height: int, width: int, covered: Size) -> Size:
    """Size after resizing to just cover another size, with the side that exceeds it rounded down."""
    if height * covered[1] <= width * covered[0]:
        return covered[0], int(covered[0] * width / height)
    return int(covered[1] * height / width), covered[1]


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
    channels = channel_order(input_spec)
    of_frames = normalization(input_spec, len(channels))
    out = np.empty((len(frames), len(channels), *frames.shape[1:3]), np.float32)
    for place, channel in enumerate(channels):
        np.multiply(frames[..., channel], of_frames.factors[place], out=out[:, place])
        out[:, place] -= of_frames.offsets[place]
    return out


def planar(frames: np.ndarray, input_spec: InputSpec) -> np.ndarray:
    """Convert (T, H, W, F) uint8 to (T, F, H, W) uint8 with the spec's channel order."""
    return np.stack([frames[..., channel] for channel in channel_order(input_spec)], axis=1)


def channel_order(input_spec: InputSpec) -> tuple[int, ...]:
    """Channels of a decoded frame in the order of the network."""
    if input_spec.modality == "flow":
        return 0, 1
    return (0, 1, 2) if input_spec.channel_order == "rgb" else (2, 1, 0)


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


def draw_crop(height: int, width: int, size: Size, augmentation: AugmentationSpec, rng: np.random.Generator) -> Box:
    """Draw TSN's multi-scale crop for a network's input size: a size and one of 13 positions, all equally likely."""
    box_width, box_height = _draw_choice(_crop_sizes(height, width, size, augmentation), rng)
    left, top = _draw_choice(_thirteen_positions(height - box_height, width - box_width), rng)
    return Box(left, top, box_width, box_height)


def _crop_sizes(height: int, width: int, size: Size, augmentation: AugmentationSpec) -> list[tuple[int, int]]:
    """(width, height) pairs: scales of the largest box of the input's shape, not too distorted."""
    largest = min(height, width * size[0] // size[1]), min(width, height * size[1] // size[0])
    heights, widths = (
        [_scaled(max(1, base), side, scale) for scale in augmentation.scales]
        for base, side in zip(largest, size, strict=True)
    )
    return [
        (widths[j], heights[i])
        for i in range(len(heights))
        for j in range(len(widths))
        if abs(i - j) <= augmentation.max_distort
    ]


def _scaled(base: int, side: int, scale: float) -> int:
    """A side of a crop, snapped to the network's input."""
    length = max(1, int(base * scale))
    return min(side, base) if abs(length - side) < _SNAP else length


def _thirteen_positions(spare_height: int, spare_width: int) -> list[tuple[int, int]]:
    """(left, top): corners, center, middles of the edges, and the four quarter points."""
    x, y = spare_width // 4, spare_height // 4
    corners = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
    edges = [(0, 2), (4, 2), (2, 4), (2, 0)]
    quarters = [(1, 1), (3, 1), (1, 3), (3, 3)]
    return [(i * x, j * y) for i, j in corners + edges + quarters]


def _draw_choice(choices: list[tuple[int, int]], rng: np.random.Generator) -> tuple[int, int]:
    return choices[int(rng.integers(len(choices)))]


def crop_boxes(height: int, width: int, size: Size, crops: Crops) -> list[Box]:
    """Evaluation crops of a frame; for `ten` the same as `five`, without the mirror images."""
    box_height, box_width = size
    spare_height, spare_width = height - box_height, width - box_width
    if crops == "center":
        return [Box(round(spare_width / 2), round(spare_height / 2), box_width, box_height)]
    x, y = spare_width // 4, spare_height // 4
    if crops == "three":
        is_wide = width * box_height >= height * box_width
        grid = [(0, 2), (4, 2), (2, 2)] if is_wide else [(2, 0), (2, 4), (2, 2)]
    else:
        grid = [(0, 0), (4, 0), (0, 4), (4, 4), (2, 2)]
    return [Box(i * x, j * y, box_width, box_height) for i, j in grid]
