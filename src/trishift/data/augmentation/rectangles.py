"""Random rectangles: resized crops (Szegedy et al. 2015) and erasing (Zhong et al. 2020, arXiv:1708.04896)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trishift.data.augmentation.bounds import Range, check_range, check_share
from trishift.io.typed import FORBID_UNKNOWN_KEYS

_ATTEMPTS = 10
_MAX_ASPECT = 100.0


@dataclass(frozen=True)
class ResizedCropSpec:
    """A random resized crop in place of the multi-scale crop, in a recipe.

    Attributes:
        area: area of the crop, as a fraction of the frame's.
        aspect: width / height of the crop, relative to that of the network's input.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    area: Range = (0.35, 1.0)
    aspect: Range = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        check_range("augmentation.resized_crop.area", self.area, 0, 1)
        check_range("augmentation.resized_crop.aspect", self.aspect, 0, _MAX_ASPECT)


@dataclass(frozen=True)
class ErasingSpec:
    """Random erasing, in a recipe: a rectangle of the clip, at the same place in all frames, gets the mean color.

    Attributes:
        probability: fraction of clips with such a rectangle; 0 switches it off.
        area: its area, as a fraction of the frame's.
        aspect: its width / height.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    probability: float = 0.0
    area: Range = (0.02, 1 / 3)
    aspect: Range = (0.3, 1 / 0.3)

    def __post_init__(self) -> None:
        check_share("augmentation.erasing.probability", self.probability)
        check_range("augmentation.erasing.area", self.area, 0, 1)
        check_range("augmentation.erasing.aspect", self.aspect, 0, _MAX_ASPECT)


def draw_rectangle(
    height: int, width: int, area: Range, aspect: Range, rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """Draw (left, top, width, height) with uniform area and log-uniform aspect; None if ten draws did not fit."""
    for _ in range(_ATTEMPTS):
        pixels = height * width * rng.uniform(*area)
        ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
        box_width, box_height = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            left, top = rng.integers(width - box_width + 1), rng.integers(height - box_height + 1)
            return int(left), int(top), box_width, box_height
    return None


def draw_resized_crop(
    height: int, width: int, size: tuple[int, int], spec: ResizedCropSpec, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Draw (left, top, width, height) of a crop that is resized to `size` (height, width).

    If nothing fits, the crop is the largest rectangle in the middle with an allowed aspect.
    """
    low, high = (aspect * size[1] / size[0] for aspect in spec.aspect)
    rectangle = draw_rectangle(height, width, spec.area, (low, high), rng)
    if rectangle is not None:
        return rectangle
    box_width, box_height = min(width, max(1, round(height * high))), min(height, max(1, round(width / low)))
    return (width - box_width) // 2, (height - box_height) // 2, box_width, box_height


def erase(clip: np.ndarray, spec: ErasingSpec, rng: np.random.Generator) -> np.ndarray:
    """Set a random rectangle of normalized frames (T, F, H, W) to zero, which is the mean; in place."""
    if spec.probability and rng.random() < spec.probability:
        rectangle = draw_rectangle(clip.shape[2], clip.shape[3], spec.area, spec.aspect, rng)
        if rectangle is not None:
            left, top, width, height = rectangle
            clip[..., top : top + height, left : left + width] = 0
    return clip
