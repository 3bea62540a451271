"""RandAugment (Cubuk et al. 2020, arXiv:1909.13719): a few random operations of one strength.

The 14 operations and their strengths are those of the paper. None of them mirrors the picture, so classes that differ
in left and right stay apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from trishift.data.augmentation.bounds import check_share
from trishift.data.augmentation.pictures import Operation, per_frame, recolor
from trishift.errors import RecipeError
from trishift.io.typed import FORBID_UNKNOWN_KEYS

_STRONGEST = 30  # magnitude
_GRAY = (128, 128, 128)  # of pixels from outside the frame
_Strength = Callable[[float], Operation]  # a signed magnitude in [-1, 1] to an operation


@dataclass(frozen=True)
class RandAugmentSpec:
    """RandAugment, in a recipe.

    Attributes:
        operations: number of operations per clip; 0 switches it off.
        magnitude: their strength, from 0 to 30.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    operations: int = 0
    magnitude: float = 9.0

    def __post_init__(self) -> None:
        if self.operations < 0:
            raise RecipeError(f"augmentation.rand_augment.operations: must be 0 or more, not {self.operations}")
        check_share("augmentation.rand_augment.magnitude", self.magnitude, _STRONGEST)


def rand_augment(frames: np.ndarray, spec: RandAugmentSpec, rng: np.random.Generator) -> np.ndarray:
    """Apply random operations to (T, H, W, 3) uint8 frames."""
    for _ in range(spec.operations):
        name = OPERATIONS[int(rng.integers(len(OPERATIONS)))]
        sign = 1 if rng.random() < 0.5 else -1
        frames = apply(frames, name, sign * spec.magnitude / _STRONGEST)
    return frames


def apply(frames: np.ndarray, name: str, strength: float) -> np.ndarray:
    """Apply one operation with a strength in [-1, 1], whose sign selects the direction where there are two."""
    if name in _ON_COLORS:
        return recolor(frames, _ON_COLORS[name](strength))
    return per_frame(frames, _ON_SHAPES[name](strength)) if name in _ON_SHAPES else frames


def _affine(*matrix: float) -> Operation:
    """Move pixels: (x, y) comes from (a x + b y + c, d x + e y + f)."""
    return lambda picture: picture.transform(
        picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=_GRAY
    )


def _shift(strength: float, vertical: bool) -> Operation:
    """Shift by up to 150 of 331 pixels, the paper's distance at its picture size."""

    def move(picture: Image.Image) -> Image.Image:
        distance = round(strength * 150 / 331 * picture.size[vertical])
        return _affine(1, 0, 0 if vertical else distance, 0, 1, distance if vertical else 0)(picture)

    return move


def _enhance(enhancer: Callable[[Image.Image], Any]) -> _Strength:
    return lambda strength: lambda picture: enhancer(picture).enhance(1 + 0.9 * strength)


_ON_COLORS: dict[str, _Strength] = {
    "auto_contrast": lambda _: ImageOps.autocontrast,
    "equalize": lambda _: ImageOps.equalize,
    "posterize": lambda strength: lambda picture: ImageOps.posterize(picture, 8 - round(4 * abs(strength))),
    "solarize": lambda strength: lambda picture: ImageOps.solarize(picture, math.ceil(256 * (1 - abs(strength)))),
    "color": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
}
_ON_SHAPES: dict[str, _Strength] = {
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "rotate": lambda strength: (
        lambda picture: picture.rotate(30 * strength, Image.Resampling.BILINEAR, fillcolor=_GRAY)
    ),
    "shear_x": lambda strength: _affine(1, 0.3 * strength, 0, 0, 1, 0),
    "shear_y": lambda strength: _affine(1, 0, 0, 0.3 * strength, 1, 0),
    "translate_x": lambda strength: _shift(strength, vertical=False),
    "translate_y": lambda strength: _shift(strength, vertical=True),
}
OPERATIONS = ("identity", *_ON_COLORS, *_ON_SHAPES)
"""The operations, equally likely."""
