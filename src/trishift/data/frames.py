"""Frames from a folder of numbered pictures."""

from __future__ import annotations

import fnmatch
import io
import string
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from trishift.data.containers import MAX_PIXELS
from trishift.data.picture_names import (
    PICTURE_SUFFIXES,
    Series,
    find_series,
    flow_pairs,
    flow_trees,
    is_mask_folder,
    natural_order,
)
from trishift.data.sources import FrameSource
from trishift.errors import DataError, brief
from trishift.io.regular import check_regular, is_remote
from trishift.io.storage import split_member, stored_files
from trishift.io.storage.ranges import Ranges
from trishift.io.wording import counted, unreadable

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")  # others may start programs (EPS)
_LARGEST = 2**28  # bytes of a picture that is read at once
_WELL_KNOWN_TEMPLATES = ("img_{:05d}.jpg", "{:05d}.jpg", "{:06d}.jpg")
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".webm", ".avi", ".mkv", ".mov", ".m4v", ".flv", ".wmv", ".mpg", ".mpeg", ".ts", ".3gp", ".ogv", ".gif"}
)


class FrameFolder(FrameSource):
    """A folder with one picture per frame, numbered without gaps from any number.

    Args:
        path: the folder.
        template: file name with one number in braces (`img_{:05d}.jpg`), or a pattern (`img_*.jpg`) whose files are
            read in the order of the numbers in their names, with any gaps; None: detected.
        stored: its files by name, if it is in a store or a shard.

    Attributes:
        template: the template or pattern.
        files: names of the pictures, in order.
        numbers: their numbers; empty for a pattern.

    Raises:
        DataError: the folder has no such pictures, or the template has gaps.
    """

    def __init__(
        self, path: str | Path, template: str | None = None, stored: Mapping[str, Ranges] | None = None
    ) -> None:
        self.path, self._stored = Path(path), stored
        self.fps = None
        names = entry_names(self.path, stored)
        self.template = template or _detect_template(self.path, names)
        self.numbers: list[int] = []
        if "*" in self.template:
            self.files = _matching_files(self.path, names, self.template)
        else:
            self.numbers = _numbers_without_gaps(self.path, names, self.template)
            self.files = [self.template.format(number) for number in self.numbers]
        if template is None and flow_trees(self.path) and self.is_gray():
            raise DataError(f"{self.path}: holds optical flow of one direction, no frames")
        self.num_frames = len(self.files)

    def is_gray(self) -> bool:
        """Whether the pictures have a single channel, judged by the first one."""
        with self._open(0) as picture:
            return picture.mode in ("1", "L", "I", "I;16", "F")

    def _read(self, wanted: list[int]) -> np.ndarray:
        pictures = {index: self._picture(index) for index in sorted(set(wanted))}
        sizes = {picture.shape for picture in pictures.values()}
        if len(sizes) > 1:
            raise DataError(f"{self.path}: the frames differ in size; extract them again from one video")
        return np.stack([pictures[index] for index in wanted]) if wanted else np.empty((0, 0, 0, 3), np.uint8)

    def _picture(self, index: int) -> np.ndarray:
        with self._open(index) as picture:
            return _rgb(picture)

    def _open(self, index: int) -> AbstractContextManager[Image.Image]:
        name = self.files[index]
        return open_picture(self.path / name, self._stored[name] if self._stored else None)


def entry_names(folder: Path, stored: Mapping[str, Ranges] | None) -> set[str]:
    """The names in a folder, whose files are given if it is in a store or a shard.

    Raises:
        DataError: it cannot be read.
    """
    if stored:
        return set(stored)
    try:
        return {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise DataError(unreadable(folder, error)) from None


def stored_frames(path: Path) -> Mapping[str, Ranges]:
    """The files of a folder of pictures in a store or a shard; empty if there is none.

    A store is not asked about names that end like those of videos.

    Raises:
        DataError: the store cannot be reached or refuses, or the shard has no index.
    """
    if is_remote(path) and path.suffix.lower() in VIDEO_SUFFIXES and split_member(path) is None:
        return {}
    files = stored_files(path)
    return files if any(Path(name).suffix.lower() in PICTURE_SUFFIXES for name in files) else {}


@contextmanager
def open_picture(path: Path, stored: Ranges | None = None) -> Iterator[Image.Image]:
    """Open a picture in one of the formats of frames; it is closed afterwards.

    Args:
        path: the picture.
        stored: its bytes, if it is in a store or a shard.

    Raises:
        DataError: it cannot be opened, is too large, or its decoding inside the block fails.
    """
    try:
        if stored is None:
            check_regular(path)
        elif stored.size > _LARGEST:
            raise ValueError(f"{stored.size:,} bytes are too many")
        source = path if stored is None else io.BytesIO(stored.read(0, stored.size))
        with Image.open(source, formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
            yield picture
    except DataError:
        raise
    except OSError as error:
        reason = error.strerror or brief(error)
        raise DataError(f"{path}: the frame cannot be decoded ({reason}); extract the frames again") from None
    except Exception as error:  # decoders fail in many ways
        raise DataError(f"{path}: the frame cannot be decoded ({brief(error)}); extract the frames again") from None


def _rgb(picture: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8; transparency is dropped."""
    if picture.mode.startswith("I"):  # 16 bit gray, which PIL would clip instead of scaling
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGB"))


def _detect_template(folder: Path, names: set[str]) -> str:
    """The template of the folder's frames: a well-known one, or that of the largest series."""
    series = find_series(names)
    paired = {id(each) for pair in flow_pairs(series) for each in pair}
    frames = [each for each in series if each.kind == "frames" and id(each) not in paired]
    if not frames or is_mask_folder(folder):
        raise _no_frames(folder, names, series)
    for template in _WELL_KNOWN_TEMPLATES:
        if any(each.template == template for each in frames):
            return template
    if len(frames) > 1 and 2 * len(frames[1].digits) >= len(frames[0].digits):
        candidates = " and ".join(f"{len(each.digits)} named {each.template}" for each in frames[:2])
        raise DataError(
            f"{folder}: has several series of pictures ({candidates}); select one with template '{frames[0].template}' "
            "(--template, or data.template in a recipe), or read all in order with template '*'"
        )
    return frames[0].template


def _no_frames(folder: Path, names: set[str], series: list[Series]) -> DataError:
    if series:
        return DataError(
            f"{folder}: holds only flow or mask pictures, no frames; if {series[0].template} are frames, set "
            f"template '{series[0].template}' (data.template, --template)"
        )
    pictures = [name for name in names if Path(name).suffix.lower() in PICTURE_SUFFIXES]
    if pictures:
        return DataError(
            f"{folder}: none of {len(pictures)} pictures is numbered like img_00001.jpg; if they are the frames "
            "of a clip, set template '*' (--template, or data.template in a recipe) to read them in order"
        )
    return DataError(f"{folder}: no numbered pictures (such as img_00001.jpg) in this folder; is it a frame folder?")


def _frame_numbers(names: set[str], template: str) -> set[int]:
    """The numbers of the files that fit the template."""
    prefix, suffix = _literals(template)
    middles = (name[len(prefix) : len(name) - len(suffix)] for name in names if name.startswith(prefix))
    numbers = {int(middle) for middle in middles if middle.isdecimal()}
    return {number for number in numbers if template.format(number) in names}


def _literals(template: str) -> tuple[str, str]:
    """The text before and after the number."""
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


def _numbers_without_gaps(folder: Path, names: set[str], template: str) -> list[int]:
    """The numbers of the files of a template, in order."""
    numbers = sorted(_frame_numbers(names, template))
    if not numbers:
        raise DataError(f"{folder}: no file is named like {template!r}; set the template of this folder's frames")
    missing = next((before + 1 for before, after in pairwise(numbers) if after > before + 1), None)
    if missing is not None:
        prefix, suffix = _literals(template)
        count = counted(numbers[-1] - numbers[0] + 1 - len(numbers), "frame is", "frames are")
        raise DataError(
            f"{folder}: {count} missing, first {template.format(missing)}; extract the frames again, or read the "
            f"{len(numbers)} files in order with template '{prefix}*{suffix}' (--template, or data.template in a "
            "recipe)"
        )
    return numbers


def _matching_files(folder: Path, names: set[str], pattern: str) -> list[str]:
    """The pictures that match a pattern, in the order of the numbers in their names."""
    expression = pattern.replace("[", "[[]").replace("?", "[?]")  # only * is special
    matching = [
        name
        for name in names
        if Path(name).suffix.lower() in PICTURE_SUFFIXES and fnmatch.fnmatchcase(name, expression) and name[0] != "."
    ]
    if not matching:
        raise DataError(f"{folder}: no picture is named like {pattern!r}; set the pattern of this folder's frames")
    order = natural_order(matching)
    if order is None:
        raise DataError(
            f"{folder}: the order of files like {matching[0]} is ambiguous (1.10 may be before or after 1.9); number "
            "them with leading zeros"
        )
    return order
