"""The video with the evidence for a class drawn over it, and the contribution of each segment below."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from trishift.errors import DataError
from trishift.reporting.explanations.content import ExplainedClip, with_heat
from trishift.reporting.fonts import font_files
from trishift.reporting.mp4 import mp4_file
from trishift.reporting.pages.charts import COLORS
from trishift.streaming.recording import Recording

_LEAST_SIDE = 240  # pixels: smaller videos are enlarged, so that the text can be read
_BAR = 0.2  # share of the picture's height
_GROUND, _INK, _SOFT = (24, 27, 31), (240, 242, 245), (62, 69, 77)
_DIMMED = 0.55  # outside the network's view


def write_film(content: ExplainedClip, path: Path) -> None:
    """Write the film as MP4.

    Raises:
        DataError: the clip cannot be read again, or not be encoded.
        OutputError: the file cannot be written.
    """
    painter: _Painter | None = None
    with mp4_file(path) as film:
        for frame in Recording(content.path, content.template).frames():
            if painter is None:
                painter, begin = _Painter(content, *frame.image.shape[:2]), frame.time
                film.set_size(*painter.size)
            film.add(painter.painted(frame.image, frame.number), frame.time - begin)
        if painter is None:
            raise DataError(f"{content.path}: has no frames")
        film.finish()


class _Painter:
    """Draws frames of one size."""

    def __init__(self, content: ExplainedClip, height: int, width: int) -> None:
        self._content = content
        scale = max(1.0, _LEAST_SIDE / min(height, width))
        self._height, self._width = round(scale * height), 2 * round(scale * width / 2)
        bar = max(48, round(_BAR * self._height))
        self._bar = bar + (self._height + bar) % 2
        self.size = self._height + self._bar, self._width
        left, top, right, bottom = content.box
        self._view = (
            slice(round(top * self._height), round(bottom * self._height)),
            slice(round(left * self._width), round(right * self._width)),
        )
        self._heat = content.heat
        self._base = self._draw_bar()

    def painted(self, image: np.ndarray, number: int) -> np.ndarray:
        """A frame (H, W, 3) uint8 with its number in the file, with evidence and bar."""
        image = np.asarray(Image.fromarray(image).resize((self._width, self._height), Image.Resampling.BILINEAR))
        shown = (image * _DIMMED).astype(np.uint8)
        shown[self._view] = with_heat(image[self._view], self._at(number))
        bar = self._base.copy()
        place = self._place(number)
        head = min(self._width - 2, max(0, int(self._width * (place + 0.5) / len(self._heat))))
        bar[self._bar // 2 :, head : head + 2] = _INK
        return np.concatenate([shown, bar])

    def _place(self, number: int) -> float:
        """The position between segments, from 0 to T - 1."""
        numbers = self._content.numbers
        return float(np.interp(number, numbers, np.arange(len(numbers)))) if len(numbers) > 1 else 0.0

    def _at(self, number: int) -> np.ndarray:
        """The evidence at a frame, blended from its two neighboring segments."""
        low, share = divmod(self._place(number), 1)
        one, other = self._heat[int(low)], self._heat[min(int(low) + 1, len(self._heat) - 1)]
        return one * (1 - share) + other * share

    def _draw_bar(self) -> np.ndarray:
        """The class, and a cell per segment whose bar shows its contribution."""
        picture = Image.new("RGB", (self._width, self._bar), _GROUND)
        draw, text = ImageDraw.Draw(picture), self._content.title
        font, size = font_files([text])[-1], round(0.3 * self._bar)
        length = ImageFont.truetype(font, size).getlength(text)
        fitting = ImageFont.truetype(font, max(4, min(size, int(size * (self._width - 8) / max(length, 1)))))
        draw.text((4, self._bar // 4), text, _INK, fitting, anchor="lm")
        values = self._content.explanation.left_out
        peak = float(np.abs(values).max()) or 1.0
        middle, room, cell = round(0.75 * self._bar), 0.22 * self._bar, self._width / len(values)
        gap = min(2.0, cell / 4)  # between many segments
        draw.line((0, middle, self._width, middle), _SOFT)
        for place, value in enumerate(values):
            top, bottom = sorted((middle, middle - round(room * float(value) / peak)))
            color = ImageColor.getrgb(COLORS["blue" if value >= 0 else "orange"])
            draw.rectangle((place * cell + gap, top, (place + 1) * cell - gap, bottom), color)
        return np.array(picture)
