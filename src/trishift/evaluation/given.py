"""Predictions for clips that a program gives itself: paths, addresses, contents of video files, or frames."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from trishift.errors import DataError, named
from trishift.evaluation.predicting import Results
from trishift.evaluation.prediction import Miss, Prediction

Clip = str | Path | bytes | bytearray | memoryview | np.ndarray
"""A video or frame folder, the address of a video, the bytes of one, or frames (T, H, W, 3) uint8 RGB."""

_CONTENTS = bytes | bytearray | memoryview
_FORMS = "give a path, an address, the bytes of a video file, or frames (T, H, W, 3) uint8"
_AHEAD = 8  # batches that are read together
_Predict = Callable[[Sequence[Path | np.ndarray], Sequence[str]], Iterable[Results]]


def is_clip(value: Any) -> bool:
    """Whether a value is one clip, not several."""
    if isinstance(value, np.ndarray):
        return value.ndim <= 4 and value.dtype.kind not in "OSU"  # an array of paths is several
    return isinstance(value, str | Path | _CONTENTS)


def clips_in(value: Clip | Iterable[Clip]) -> Iterator[Clip]:
    """The clips that a value holds, or the one that it is.

    Raises:
        DataError: it is neither; an open file would be taken for the clips in its lines.
    """
    if is_clip(value):
        return iter([cast(Clip, value)])
    try:
        if not isinstance(value, io.IOBase):
            return iter(cast("Iterable[Clip]", value))
    except TypeError:
        pass
    raise DataError(f"{type(value).__name__}: not a clip, nor several; {_FORMS}")


def predict_clips(
    clips: Iterator[Clip], predict: _Predict, batch_size: int, misses: list[Miss] | None = None
) -> Iterator[Prediction]:
    """Predict clips as they come.

    Args:
        clips: any number of them; only a few batches are held at a time.
        predict: gets paths or frames and a name for each; returns the results of each batch.
        batch_size: clips per batch.
        misses: where clips that cannot be read are added; None: the first one ends the predictions.

    Yields:
        The predictions of the readable clips, in order.

    Raises:
        DataError: a clip cannot be read.
    """
    numbers = count()
    while block := list(islice(clips, _AHEAD * batch_size)):
        names = [_name(clip, number) for clip, number in zip(block, numbers, strict=False)]
        for result in _predicted(block, names, predict):
            if isinstance(result, Prediction):
                yield result
            elif misses is None:
                raise DataError(result.reason)
            else:
                misses.append(result)


def _name(clip: Clip, number: int) -> str:
    """The text that named a clip, or its number."""
    return named(clip) if isinstance(clip, str | Path) else f"clip {number}"


def _predicted(clips: Sequence[Clip], names: Sequence[str], predict: _Predict) -> list[Prediction | Miss]:
    """The result of each clip. Contents are temporary files, which are named like their clips."""
    found: dict[int, Prediction | Miss] = {}
    with ExitStack() as stack:
        given = [
            clip if isinstance(clip, np.ndarray) else _file(clip, name, stack)
            for clip, name in zip(clips, names, strict=True)
        ]
        for results in predict(given, names):
            for place, result in results:
                if isinstance(result, Prediction):
                    found[place] = replace(result, name=names[place])
                else:
                    found[place] = Miss(names[place], result.reason.replace(str(given[place]), names[place]))
    return [found[place] for place in range(len(clips))]


def _file(clip: Clip, name: str, stack: ExitStack) -> Path:
    """The path of a clip; that of a file which is removed with the stack, if the clip is the content of one."""
    if isinstance(clip, str | Path):
        return Path(clip)
    if not isinstance(clip, _CONTENTS):
        raise DataError(f"{name}: is of type {type(clip).__name__}; {_FORMS}")
    path = Path(stack.enter_context(TemporaryDirectory(prefix="trishift-"))) / "clip"
    path.write_bytes(clip)
    return path
