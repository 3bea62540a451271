"""Color jitter: random brightness, contrast, saturation and hue in a random order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from trishift.data.augmentation.bounds import check_share
from trishift.data.augmentation.pictures import Operation, recolor
from trishift.io.typed import FORBID_UNKNOWN_KEYS

_ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


@dataclass(frozen=True)
class ColorSpec:
    """Color jitter, in a recipe; 0 switches a property off.

    Attributes:
        brightness, contrast, saturation: factors are drawn from [1 - x, 1 + x].
        hue: maximum shift, as a fraction of the color circle.
        probability: fraction of clips to change.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name in (*_ENHANCERS, "probability"):
            check_share(f"augmentation.color.{name}", getattr(self, name))
        check_share("augmentation.color.hue", self.hue, 0.5)

    @property
    def active(self) -> tuple[str, ...]:
        """The properties that vary."""
        return tuple(name for name in (*_ENHANCERS, "hue") if getattr(self, name) and self.probability)


def jitter_colors(frames: np.ndarray, spec: ColorSpec, rng: np.random.Generator) -> np.ndarray:
    """Change the colors of (T, H, W, 3) uint8 frames."""
    if not spec.active or rng.random() >= spec.probability:
        return frames
    for place in rng.permutation(len(spec.active)):
        name = spec.active[place]
        amount = getattr(spec, name)
        frames = recolor(frames, _operation(name, float(rng.uniform(-amount, amount))))
    return frames


def _operation(name: str, amount: float) -> Operation:
    if name == "hue":
        return lambda picture: _shift_hue(picture, round(256 * amount))
    return lambda picture: _ENHANCERS[name](picture).enhance(1 + amount)


def _shift_hue(picture: Image.Image, shift: int) -> Image.Image:
    hue, *others = picture.convert("HSV").split()
    turned = hue.point([(value + shift) % 256 for value in range(256)])
    return Image.merge("HSV", (turned, *others)).convert("RGB")
