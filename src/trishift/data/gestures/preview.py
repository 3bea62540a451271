"""Contact sheet of the gestures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trishift.data.gestures.dataset import GestureSet
from trishift.data.gestures.motion import PAIRS, STILL
from trishift.data.lists import read_labels, read_list
from trishift.data.sampling import uniform_eval
from trishift.data.sources import open_clip
from trishift.io.atomic import staged

_FRAMES = 8
_TILE, _GAP, _MARGIN = 96, 4, 230  # pixels
_INK, _PAPER = (31, 35, 40), (255, 255, 255)


def write_preview(gestures: GestureSet, path: str | Path, clip: int = 0) -> None:
    """Write a PNG with one row per class: 8 frames of the class's validation clip number `clip`.

    The two rows of a pair show the same frames in opposite order.
    """
    labels = read_labels(gestures.labels)
    records = read_list(gestures.val_list)
    names = [name for name in (*(name for pair in PAIRS for name in pair), STILL) if name in labels]
    sheet = Image.new("RGB", (_MARGIN + _FRAMES * (_TILE + _GAP), len(names) * (_TILE + _GAP) + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(17)
    for row, name in enumerate(names):
        top = _GAP + row * (_TILE + _GAP)
        of_class = [record for record in records if labels.index(name) in record.labels]
        text = name.replace(" With ", "\nWith ").replace(" Hand ", " Hand\n")
        draw.multiline_text((12, top + _TILE / 2), text, _INK, font, anchor="lm", spacing=6)
        for column, frame in enumerate(_read(of_class[clip % len(of_class)].path)):
            tile = Image.fromarray(frame).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
            sheet.paste(tile, (_MARGIN + column * (_TILE + _GAP), top))
    with staged(path) as new:
        sheet.save(new)


def _read(path: Path) -> np.ndarray:
    """(8, H, W, 3) uint8 frames spread evenly over the clip."""
    with open_clip(path) as source:
        return source.read(uniform_eval(source.num_frames, _FRAMES)[0])
