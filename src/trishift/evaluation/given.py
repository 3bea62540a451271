"""Predictions for clips that a program gives itself: paths, addresses, contents of video files, or frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from trishift.errors import DataError, without_secrets
from trishift.evaluation.predicting import Results
from trishift.evaluation.prediction import Miss, Prediction

Clip = str | Path | bytes | np.ndarray
"""A video or frame folder, the address of a video, the bytes of one, or frames (T, H, W, 3) uint8 RGB."""

_AHEAD = 8  # batches that are read together
_Predict = Callable[[Sequence[Path | np.ndarray], Sequence[str]], Iterable[Results]]


def is_clip(value: Any) -> bool:
    """Whether a value is one clip, not several."""
    return isinstance(value, str | Path | bytes) or (isinstance(value, np.ndarray) and value.ndim <= 4)


def predict_clips(
    clips: Iterable[Clip], predict: _Predict, batch_size: int, misses: list[Miss] | None = None
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
    numbers, clips = count(), iter(clips)
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
    return without_secrets(clip) if isinstance(clip, str | Path) else f"clip {number}"


def _predicted(clips: Sequence[Clip], names: Sequence[str], predict: _Predict) -> list[Prediction | Miss]:
    """The result of each clip. Contents are temporary files, which are named like their clips."""
    found: dict[int, Prediction | Miss] = {}
    with ExitStack() as stack:
        given = [clip if isinstance(clip, np.ndarray) else _file(clip, stack) for clip in clips]
        for results in predict(given, names):
            for place, result in results:
                if isinstance(result, Prediction):
                    found[place] = replace(result, name=names[place])
                else:
                    found[place] = Miss(names[place], result.reason.replace(str(given[place]), names[place]))
    return [found[place] for place in range(len(clips))]


def _file(clip: str | Path | bytes, stack: ExitStack) -> Path:
    """The path of a clip; that of a file which is removed with the stack, if the clip is the content of one."""
    if not isinstance(clip, bytes):
        return Path(clip)
    path = Path(stack.enter_context(TemporaryDirectory(prefix="trishift-"))) / "clip"
    path.write_bytes(clip)
    return path
