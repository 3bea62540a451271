"""THUMOS: one text file per class, `BaseballPitch_val.txt`, with a line `video start end` per action, in seconds.

Its validation videos are for training and its test videos for validation, because its training videos are trimmed.
Ambiguous actions belong to no class, but are no background either.
"""

from __future__ import annotations

import re

from trishift.data.annotations.files import AnnotationFile
from trishift.data.annotations.records import Annotations
from trishift.errors import DataError

_NAME = re.compile(r"(?P<label>.+)_(?P<subset>val|validation|test)")
_LINE = re.compile(r"(?P<video>\S+)\s+(?P<start>-?\d+(?:\.\d*)?)\s+(?P<end>-?\d+(?:\.\d*)?)")
_AMBIGUOUS = "Ambiguous"


def recognizes(file: AnnotationFile) -> bool:
    """Whether a file holds the actions of one class."""
    if _NAME.fullmatch(file.path.stem) is None or not file.lines:
        return False
    return _LINE.fullmatch(file.lines[0].text) is not None


def read(file: AnnotationFile, into: Annotations) -> None:
    """Add the actions of one class."""
    name = _NAME.fullmatch(file.path.stem)
    if name is None:
        raise DataError(f"{file.path}: is not named CLASS_val.txt or CLASS_test.txt, which determines class and subset")
    split = "val" if name["subset"] == "test" else "train"
    for line in file.lines:
        into.place = f"{file.path}:{line.number}"
        match = _LINE.fullmatch(line.text.strip())
        if match is None:
            raise DataError(f"{into.place}: expected 'video start end', found {line.text[:60]!r}; download it again")
        bounds = float(match["start"]), float(match["end"])
        into.add(match["video"], bounds, name["label"], split=split, excluded=name["label"] == _AMBIGUOUS)
