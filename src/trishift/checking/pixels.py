"""Name what is different about pixels from elsewhere: the smallest change of the reader that explains them.

Every stage of the reader has alternatives that other code bases use. Their combinations, with at most two changes, are
compared with the pixels up to a factor and an offset per channel, which are the normalization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations, product

import numpy as np
from PIL import Image

from trishift.data.stages import PIXEL_STAGES, Pixels
from trishift.data.transforms import Box, channel_order, crop_boxes, resize, resized_size
from trishift.io.wording import counted, shown_first
from trishift.model.pixels import normalization
from trishift.model.sizes import Size, size_text

_EXPLAINED = 0.75  # gray levels (root mean square) that rounding leaves
_SHIFTS = (1, -1, 2, -2, 3, -3)
_FILTERS = {
    "nearest neighbors": Image.Resampling.NEAREST,
    "a box filter": Image.Resampling.BOX,
    "a bicubic filter": Image.Resampling.BICUBIC,
    "Lanczos' filter": Image.Resampling.LANCZOS,
}
_MOST_CHANGES = 2
_COMPARED = 4  # frames with which combinations are tried

Change = tuple[str, str]  # stage, and what is different in words
_Order = tuple[int, ...]


@dataclass(frozen=True)
class Video:
    """The decoded frames of a clip, as far as they are needed.

    Attributes:
        numbers: (F,) the frames that the reader samples.
        read: reads frames by number: (n, H, W, 3) uint8.
        total: number of frames in the clip.
    """

    numbers: np.ndarray
    read: Callable[[np.ndarray], np.ndarray]
    total: int


def name_changes(found: np.ndarray, stage: str, pixels: Pixels, video: Video) -> list[Change]:
    """The changes that explain pixels, in the order of the stages; empty if nothing does, or nothing is different.

    Args:
        found: (F, H, W, 3) uint8 RGB at `frames`, `resize` or `crop`; (F, 3, H, W) float32 at `normalization`.
        stage: where the pixels come from.
        pixels: the model's reader.
        video: the clip.
    """
    if len(found) != len(video.numbers):  # frame differences, which are fewer than the frames
        return []
    search = _Search(found, stage, pixels, video)
    return search.combined() or search.frame_by_frame()


class _Search:
    """Changes of the reader, see `name_changes`."""

    def __init__(self, found: np.ndarray, stage: str, pixels: Pixels, video: Video) -> None:
        planes = found.transpose(0, 3, 1, 2) if found.dtype == np.uint8 else found
        self._found, self._stage, self._pixels, self._video = planes.astype(np.float64), stage, pixels, video
        limit = PIXEL_STAGES.index(stage)
        order: _Order = channel_order(pixels.input) if stage == "normalization" else (0, 1, 2)
        self._frames = list(_frames(video))
        self._resizes = list(_resizes(pixels)) if limit >= 1 else [("", lambda images: images)]
        self._crops = list(_crops(pixels)) if limit >= 2 else [("", _whole)]
        self._colors = [("", order), ("red and blue are swapped", order[::-1])]
        self._resized = cache(self._resize)

    def combined(self) -> list[Change]:
        """The fewest changes that hold for all frames alike."""
        count = len(self._video.numbers)
        compared = np.unique(np.linspace(0, count - 1, min(count, _COMPARED)).astype(np.int64))
        names = ("frames", "resize", "crop", "colors")
        choices = (self._frames, self._resizes, self._crops, self._colors)
        for picked in _by_number_of_changes([len(options) for options in choices]):
            numbers = self._frames[picked[0]][1]
            factors, offsets, residual = self._fit(numbers, compared, *picked[1:])
            if residual > _EXPLAINED:
                continue
            words = [options[place][0] for options, place in zip(choices, picked, strict=True)]
            changes = [(name, word) for name, word in zip(names, words, strict=True) if word]
            if self._fit(numbers, np.arange(count), *picked[1:])[2] <= _EXPLAINED:
                return changes + _normalization(factors, offsets, self._stage, self._pixels)
        return []

    def frame_by_frame(self) -> list[Change]:
        """Single frames from another place in the video, if nothing else is different."""
        numbers, last, others = self._video.numbers, self._video.total - 1, []
        for place, number in enumerate(numbers):
            for shift in (0, *_SHIFTS):
                moved = numbers.copy()
                moved[place] = min(max(number + shift, 0), last)
                if self._fit(moved, np.array([place]), 0, 0, 0)[2] <= _EXPLAINED:
                    others += [f"{number + shift} instead of {number}"] if shift else []
                    break
            else:
                return []
        return [("frames", f"frame {shown_first(others, 4)}")] if others else []

    def _fit(
        self, numbers: np.ndarray, compared: np.ndarray, resized: int, cropped: int, colored: int
    ) -> tuple[np.ndarray, np.ndarray, float]:
        images = self._resized(tuple(numbers[compared].tolist()), resized)
        height, width = images.shape[1:3]
        left, top, width, height = self._crops[cropped][1](height, width)
        images = images[:, max(top, 0) : top + height, max(left, 0) : left + width]
        planned = images[..., self._colors[colored][1]].transpose(0, 3, 1, 2)
        found = self._found[compared]
        return _fit(planned, found) if planned.shape == found.shape else (np.empty(0), np.empty(0), np.inf)

    def _resize(self, numbers: tuple[int, ...], resized: int) -> np.ndarray:
        return self._resizes[resized][1](self._video.read(np.array(numbers)))


def _by_number_of_changes(counts: list[int]) -> Iterator[tuple[int, ...]]:
    """Indices into the alternatives of each stage, those with the fewest changes first."""
    for changed in range(_MOST_CHANGES + 1):
        for places in combinations(range(len(counts)), changed):
            for picked in product(*(range(1, counts[place]) for place in places)):
                chosen = dict(zip(places, picked, strict=True))
                yield tuple(chosen.get(place, 0) for place in range(len(counts)))


def _fit(planned: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Factor and offset per channel from gray levels to what was found, and the error in gray levels."""
    x, y = (array.swapaxes(0, 1).reshape(array.shape[1], -1).astype(np.float64) for array in (planned, found))
    spread = x.var(axis=1)
    covariance = ((x - x.mean(1, keepdims=True)) * (y - y.mean(1, keepdims=True))).mean(1)
    factors = np.divide(covariance, spread, out=np.ones_like(spread), where=spread > 0)
    if not np.isfinite(factors).all() or np.abs(factors).min() < 1e-9:
        return factors, factors, np.inf
    offsets = y.mean(1) - factors * x.mean(1)
    errors = (y - factors[:, None] * x - offsets[:, None]) / factors[:, None]
    return factors, offsets, float(np.sqrt(np.square(errors).mean()))


def _normalization(factors: np.ndarray, offsets: np.ndarray, stage: str, pixels: Pixels) -> list[Change]:
    """The change of the normalization, or of pixels that should be gray levels still."""
    if stage == "normalization":
        rule = normalization(pixels.input, len(factors))
        expected, shift = rule.factors.ravel().astype(np.float64), -rule.offsets.ravel().astype(np.float64)
    else:
        expected, shift = np.ones(len(factors)), np.zeros(len(factors))
    levels = (255 * np.abs(factors / expected - 1) + np.abs((offsets - shift) / expected)).max()
    if levels <= 2 * _EXPLAINED:
        return []
    if stage != "normalization":
        return [("colors", f"gray levels are multiplied by {_text(factors)}, then {_text(offsets)} is added")]
    given, scale = pixels.input, pixels.input.scale
    mean, std = _text(-offsets / factors * scale), _text(scale / factors)
    expectation = f"expected mean {_text(given.mean)}, std {_text(given.std)}"
    return [("normalization", f"mean {mean}, std {std}; {expectation} (of pixels times {scale:.4g})")]


def _frames(video: Video) -> Iterator[tuple[str, np.ndarray]]:
    last, count = video.total - 1, len(video.numbers)
    yield "", video.numbers
    for shift in _SHIFTS:
        words = f"{counted(abs(shift), 'frame')} {'later' if shift > 0 else 'earlier'} in the video"
        yield words, np.clip(video.numbers + shift, 0, last)
    yield "in reverse order", video.numbers[::-1]
    yield f"the first {count} of the video", np.minimum(np.arange(count), last)
    yield "spread from the first to the last", np.linspace(0, last, count).astype(np.int64)
    yield "the first of each segment", np.arange(count) * video.total // count


def _resizes(pixels: Pixels) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    covered, cropped = pixels.input.resize_size, pixels.input.crop_size
    plain = "bilinear without antialiasing"
    yield "", lambda images: _covering(images, covered, _bilinear)
    yield f"{plain}, as in OpenCV", lambda images: _covering(images, covered, _plain)
    for words, method in _FILTERS.items():
        yield f"with {words}", partial(_covering, size=covered, method=partial(_filtered, method=method))
    for kind, function in (("bilinear", _bilinear), (plain, _plain)):
        yield f"squeezed to {size_text(covered)}, {kind}", partial(function, size=covered)
        if cropped != covered:
            yield f"squeezed to {size_text(cropped)}, {kind}", partial(function, size=cropped)
            yield f"to cover {size_text(cropped)}, {kind}", partial(_covering, size=cropped, method=function)


def _covering(images: np.ndarray, size: Size, method: Callable[[np.ndarray, Size], np.ndarray]) -> np.ndarray:
    height, width = images.shape[1:3]
    return method(images, resized_size(height, width, size))


def _bilinear(images: np.ndarray, size: Size) -> np.ndarray:
    return resize(images, *size)


def _filtered(images: np.ndarray, size: Size, method: Image.Resampling) -> np.ndarray:
    pictures = (Image.fromarray(image) for image in images)
    return np.stack([np.asarray(picture.resize(size[::-1], method)) for picture in pictures])


def _plain(images: np.ndarray, size: Size) -> np.ndarray:
    """Bilinear interpolation between the four nearest pixels, with the centers of the pixels aligned."""
    for axis, count in enumerate(size, 1):
        old = images.shape[axis]
        places = np.clip((np.arange(count) + 0.5) * old / count - 0.5, 0, old - 1)
        low = np.floor(places).astype(np.int64)
        share = np.expand_dims(places - low, tuple(other for other in range(images.ndim) if other != axis))
        images = images.take(low, axis) * (1 - share) + images.take(np.minimum(low + 1, old - 1), axis) * share
    rounded: np.ndarray = images.round().astype(np.uint8)
    return rounded


def _crops(pixels: Pixels) -> Iterator[tuple[str, Callable[[int, int], Box]]]:
    size = pixels.input.crop_size

    def moved(height: int, width: int, x: int = 0, y: int = 0) -> Box:
        box = crop_boxes(height, width, size, "center")[0]
        return box._replace(left=box.left + x, top=box.top + y)

    yield "", moved
    for x, y in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1)):
        yield f"moved by {x} pixels to the right and {y} down", partial(moved, x=x, y=y)
    yield "at the upper left corner", lambda height, width: Box(0, 0, size[1], size[0])
    yield "whole pictures, not cropped", _whole


def _whole(height: int, width: int) -> Box:
    return Box(0, 0, width, height)


def _text(values: np.ndarray | tuple[float, ...]) -> str:
    return ", ".join(f"{round(float(value), 3) + 0.0:.3g}" for value in values)  # no -0
