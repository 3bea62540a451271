"""Frames from a folder of numbered pictures."""

from __future__ import annotations

import re
import string
from pathlib import Path

import numpy as np
from PIL import Image

from trishift.data.sources import FrameSource
from trishift.errors import DataError

_WELL_KNOWN_TEMPLATES = ("img_{:05d}.jpg", "{:05d}.jpg", "{:06d}.jpg")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".flv", ".wmv", ".mpg", ".mpeg", ".ts", ".3gp", ".ogv", ".gif"}
)


class FrameFolder(FrameSource):
    """A folder with one picture per frame, numbered from 1 as frame extractors do (a frame 0 counts as well).

    Args:
        path: the folder.
        template: file name with one number in braces (`img_{:05d}.jpg`); None: found out from the files.

    Attributes:
        first: number of the first picture.

    Raises:
        DataError: there are no such pictures, or some in between are missing.
    """

    def __init__(self, path: str | Path, template: str | None = None) -> None:
        self.path = Path(path)
        self.fps = None
        try:
            names = {entry.name for entry in self.path.iterdir()}
        except OSError as error:
            raise DataError(f"{self.path}: the frame folder cannot be read ({error.strerror})") from None
        self.template = template or _detect_template(self.path, names)
        self.first, self.num_frames = _number_range(self.path, names, self.template)

    def _read(self, wanted: list[int]) -> np.ndarray:
        pictures = {index: self._picture(index) for index in sorted(set(wanted))}
        sizes = {picture.shape for picture in pictures.values()}
        if len(sizes) > 1:
            raise DataError(f"{self.path}: the frames differ in size; extract them again from one video")
        return np.stack([pictures[index] for index in wanted]) if wanted else np.empty((0, 0, 0, 3), np.uint8)

    def _picture(self, index: int) -> np.ndarray:
        file = self.path / self.template.format(index + self.first)
        try:
            with Image.open(file) as picture:
                return _rgb(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{file}: the frame cannot be decoded ({error}); extract the frames again") from None


def _rgb(picture: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8; transparency is dropped."""
    if picture.mode.startswith("I"):  # 16 bit gray, which PIL would clip instead of scaling
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGB"))


def _detect_template(folder: Path, names: set[str]) -> str:
    """The template of the folder's pictures: a well-known one, or the one with most frames."""
    templates = [
        f"{_escape(name[: digits.start()])}{{:0{len(digits.group())}d}}{_escape(name[digits.end() :])}"
        for name in sorted(names)
        if Path(name).suffix.lower() in PICTURE_SUFFIXES
        for digits in re.finditer(r"\d+", name)
        if int(digits.group()) == 1
    ]
    if not templates:
        raise DataError(f"{folder}: no numbered pictures (such as img_00001.jpg) in this folder; is it a frame folder?")
    for template in _WELL_KNOWN_TEMPLATES:
        if template in templates:
            return template
    return max(templates, key=lambda template: len(_frame_numbers(names, template)))


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _frame_numbers(names: set[str], template: str) -> set[int]:
    """The numbers of the files that fit the template."""
    prefix, suffix = _literals(template)
    middles = (name[len(prefix) : len(name) - len(suffix)] for name in names if name.startswith(prefix))
    numbers = {int(middle) for middle in middles if middle.isdecimal()}
    return {number for number in numbers if template.format(number) in names}


def _literals(template: str) -> tuple[str, str]:
    """What stands before and after the number."""
    try:
        parts = list(string.Formatter().parse(template))
        template.format(1)
    except (IndexError, KeyError, ValueError):
        parts = []
    places = [place for place, part in enumerate(parts) if part[1] is not None]
    if len(places) != 1:
        raise DataError(f"frame template {template!r} needs one number in braces, as in img_{{:05d}}.jpg")
    literals = [part[0] for part in parts]
    return "".join(literals[: places[0] + 1]), "".join(literals[places[0] + 1 :])


def _number_range(folder: Path, names: set[str], template: str) -> tuple[int, int]:
    """The first number (1, or 0 where there is a frame 0) and the count; complains of gaps."""
    numbers = _frame_numbers(names, template)
    if not numbers:
        raise DataError(f"{folder}: no file is called like {template!r}; give the template of this folder's frames")
    first = min(numbers.union({1}))
    missing = sorted(set(range(first, max(numbers) + 1)) - numbers)
    if missing:
        name = template.format(missing[0])
        raise DataError(f"{folder}: {name} and {len(missing) - 1} more frames are missing; extract the frames again")
    return first, len(numbers)
