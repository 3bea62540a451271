"""Pictures of hands over backgrounds, drawn with PIL; each clip has a random hand and background."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trishift.data.gestures.motion import ANGLE, HEIGHT, X, Y

_SPRITE = 128  # pixels of a drawn hand, finger tips to wrist
_DRAWN = 2 * _SPRITE  # drawn at twice the size, then downscaled for smooth edges
_SKINS = np.array([(70, 45, 35), (120, 80, 58), (172, 122, 90), (214, 165, 130), (240, 202, 174)], np.float64)

Point = tuple[float, float]


@dataclass(frozen=True)
class _Limb:
    """A finger or the wrist: a thick line with round ends; lengths are fractions of the drawing's side."""

    start: Point
    end: Point
    width: float

    def draw(self, draw: ImageDraw.ImageDraw, color: int, margin: float = 0.0) -> None:
        radius = (self.width / 2 + margin) * _DRAWN
        points = [(x * _DRAWN, y * _DRAWN) for x, y in (self.start, self.end)]
        draw.line(points, color, round(2 * radius))
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), color)


def render(trajectories: Sequence[np.ndarray], size: int, rng: np.random.Generator) -> np.ndarray:
    """Render random hands along their trajectories over a random background.

    Args:
        trajectories: (F, 4) per hand, see `motion`; later hands are in front.
        size: side of the pictures in pixels.
        rng: determines the appearance, which is the same in every frame.

    Returns:
        (F, size, size, 3) uint8 RGB. A frame depends only on its own pose, never on neighboring frames.
    """
    hands = [draw_hand(rng) for _ in trajectories]
    pictures = draw_background(size, rng)  # broadcast to all frames by the first hand
    for hand, trajectory in zip(hands, trajectories, strict=True):
        mipmap = [hand, hand.reduce(2), hand.reduce(4)]
        layers = np.stack([np.asarray(_place(mipmap, pose, size)) for pose in trajectory])  # premultiplied by alpha
        color, alpha = layers[..., :3], layers[..., 3:].astype(np.uint16)
        pictures = (color + (pictures * (255 - alpha) + 127) // 255).clip(0, 255)
    return pictures.astype(np.uint8)


def _place(mipmap: list[Image.Image], pose: np.ndarray, size: int) -> Image.Image:
    """The hand in one pose on a transparent picture, from the smallest sprite that needs no enlarging."""
    height = float(np.clip(pose[HEIGHT], 0.1, 2)) * size
    sprite = next((s for s in reversed(mipmap) if s.height >= height), mipmap[0])
    zoom = sprite.height / height
    cosine, sine = zoom * math.cos(pose[ANGLE]), zoom * math.sin(pose[ANGLE])
    x, y = size * (0.5 + pose[X]), size * (0.5 + pose[Y])
    middle = sprite.height / 2
    inverse = (cosine, sine, middle - cosine * x - sine * y, -sine, cosine, middle + sine * x - cosine * y)
    return sprite.transform((size, size), Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)


def draw_hand(rng: np.random.Generator) -> Image.Image:
    """A random open left or right hand, fingers up, `_SPRITE` pixels square; mode RGBa (premultiplied)."""
    limbs, palm = _anatomy(rng)
    mask, ink = Image.new("L", (_DRAWN, _DRAWN)), Image.new("L", (_DRAWN, _DRAWN), 0)
    outline, fill = ImageDraw.Draw(mask), ImageDraw.Draw(ink)
    box = [value * _DRAWN for value in palm]
    edge = 0.014 * _DRAWN
    outline.rounded_rectangle((box[0] - edge, box[1] - edge, box[2] + edge, box[3] + edge), 0.12 * _DRAWN, 255)
    for limb in limbs:
        limb.draw(outline, 255, margin=0.014)
        limb.draw(fill, 150, margin=0.014)  # a dark rim that separates neighboring fingers
        limb.draw(fill, 255)
    fill.rounded_rectangle(box, 0.12 * _DRAWN, 255)
    _draw_creases(fill, limbs, palm)
    light = np.asarray(ink.filter(ImageFilter.GaussianBlur(_DRAWN / 128)).reduce(2), np.float64)[..., None] / 255
    alpha = np.asarray(mask.reduce(2), np.float64)[..., None]
    color = np.tile(_skin(rng), (_SPRITE, _SPRITE, 1))
    color[round(0.9 * _SPRITE) :] = _muted_colors(1, rng)  # the sleeve
    color *= light * _shading(_SPRITE, rng)[..., None]
    if rng.random() < 0.5:  # a left hand
        color, alpha = color[:, ::-1], alpha[:, ::-1]
    pixels = np.concatenate([color.clip(0, 255) * (alpha / 255), alpha], axis=-1)
    return Image.frombytes("RGBa", (_SPRITE, _SPRITE), pixels.round().astype(np.uint8).tobytes())


def _anatomy(rng: np.random.Generator) -> tuple[list[_Limb], tuple[float, float, float, float]]:
    """The limbs (wrist, four fingers, thumb) and palm box of a right hand seen from the back."""
    palm = (0.31, 0.44, 0.69, 0.80)
    width = rng.uniform(0.078, 0.09)
    spread = rng.uniform(0.05, 0.2)
    limbs = [_Limb((0.5, 0.75), (0.5, 1.1), rng.uniform(0.22, 0.28))]
    for number, length in enumerate((0.30, 0.37, 0.35, 0.25)):
        lean = spread * (number - 1.6) + rng.normal(0, 0.02)
        length *= rng.uniform(0.92, 1.05)
        x = palm[0] + width / 2 + number * (palm[2] - palm[0] - width) / 3
        limbs.append(_Limb((x, 0.5), (x + length * math.sin(lean), 0.49 - length * math.cos(lean)), width))
    lean = rng.uniform(0.7, 1.05)
    limbs.append(_Limb((0.38, 0.70), (0.38 - 0.31 * math.sin(lean), 0.68 - 0.31 * math.cos(lean)), width * 1.15))
    return limbs, palm


def _draw_creases(draw: ImageDraw.ImageDraw, limbs: list[_Limb], palm: tuple[float, float, float, float]) -> None:
    """Draw finger joints and palm lines."""
    thickness = _DRAWN // 100
    for finger in limbs[1:]:
        (x0, y0), (x1, y1) = finger.start, finger.end
        for part in (0.45, 0.75):
            x, y, half = x0 + part * (x1 - x0), y0 + part * (y1 - y0), finger.width * 0.3
            draw.line([((x - half) * _DRAWN, y * _DRAWN), ((x + half) * _DRAWN, y * _DRAWN)], 195, thickness)
    left, top, right, bottom = (value * _DRAWN for value in palm)
    unit = 0.1 * _DRAWN
    for box in (
        (left - unit, top, right, bottom + unit),
        (left - 1.5 * unit, top + 1.2 * unit, right - unit, bottom + 2 * unit),
    ):
        draw.arc(box, 255, 355, 190, thickness)


def _skin(rng: np.random.Generator) -> np.ndarray:
    """A color between two neighbors of the palette."""
    tone = rng.uniform(0, len(_SKINS) - 1)
    low = int(tone)
    return _SKINS[low] + (tone - low) * (_SKINS[min(low + 1, len(_SKINS) - 1)] - _SKINS[low])


def _muted_colors(count: int, rng: np.random.Generator) -> np.ndarray:
    """Random muted colors: (count, 3) float64."""
    colors = rng.uniform(15, 240, (count, 3))
    return 0.5 * colors + 0.5 * colors.mean(axis=1, keepdims=True)


def _shading(side: int, rng: np.random.Generator) -> np.ndarray:
    """Brightness factors around 1, (side, side): directional light and blotchy skin."""
    y, x = np.mgrid[-0.5 : 0.5 : side * 1j, -0.5 : 0.5 : side * 1j]
    direction = rng.uniform(-math.pi, math.pi)
    return 1.02 + 0.25 * (x * math.cos(direction) + y * math.sin(direction)) + 0.12 * _noise(side, (8, 16, 32), rng)


def draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """A random room: two blended colors and a few blurred shapes, (size, size, 3) uint16 in 0..255."""
    colors = _muted_colors(2, rng)
    blend = (0.5 + 0.7 * _noise(size, (2, 4, 8), rng)).clip(0, 1)[..., None]
    room = Image.fromarray((colors[0] + blend * (colors[1] - colors[0])).astype(np.uint8))
    draw = ImageDraw.Draw(room)
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(-0.2, 1.0, 2) * size
        width, height = rng.uniform(0.1, 0.6, 2) * size
        shape = draw.rectangle if rng.random() < 0.6 else draw.ellipse
        shape((x, y, x + width, y + height), tuple(int(v) for v in _muted_colors(1, rng)[0]))
    room = room.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.01, 0.03)))
    grain = 1 + 0.15 * _noise(size, (16, 32), rng)[..., None]
    return (np.asarray(room) * grain).clip(0, 255).astype(np.uint16)


def _noise(side: int, grids: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of about -1..1, (side, side): a sum of upscaled random grids, finer ones weaker."""
    total = np.zeros((side, side))
    for number, grid in enumerate(grids):
        coarse = Image.fromarray(rng.uniform(-1, 1, (grid, grid)).astype(np.float32))
        total += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)) / 2**number
    return total
