"""Options of `prepare folder`, `prepare list` and `prepare intervals`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from trishift.errors import DataError

SHORT_SIDE = 256
"""Pixels of the short side that training uses at most."""


@dataclass(frozen=True)
class SplitOptions:
    """How lists are made from one's own clips.

    Attributes:
        val_fraction: share of validation clips, where the clips come without a validation split; 0 for no list.
        groups: see `splitting.group_clips`.
        folds: number of folds to write for cross-validation; each clip is validated in exactly one.
        fold: the fold that becomes train.txt and val.txt, from 0.
        seed: seed of the split.
        convert: extract `frames`, re-encode `videos`, or keep the clips as is (None).
        short_side: short side of converted clips in pixels.
        keep_similar: skip only identical files, not clips that look the same in another encoding.
        template: file name of a frame in frame folders (`img_*.jpg` reads files with gaps in order); None: detected.
        workers: threads; None for one per core.
        force: replace lists that differ.

    Raises:
        DataError: impossible numbers.
    """

    val_fraction: float = 0.2
    groups: str | None = None
    folds: int | None = None
    fold: int = 0
    seed: int = 0
    convert: Literal["frames", "videos"] | None = None
    short_side: int = SHORT_SIDE
    keep_similar: bool = False
    template: str | None = None
    workers: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.val_fraction < 1:
            raise DataError(f"prepare: val_fraction {self.val_fraction} must be at least 0 and below 1; 0.2 is usual")
        if self.folds is not None and (self.folds < 2 or not 0 <= self.fold < self.folds):
            raise DataError(
                f"prepare: fold {self.fold} of {self.folds} folds is impossible; use 2 or more folds, counted from 0"
            )
        if self.short_side < 16:
            raise DataError(f"prepare: a short side of {self.short_side} pixels is too small; 256 is usual")


@dataclass(frozen=True)
class IntervalOptions:
    """How annotated parts of videos become clips.

    Attributes:
        format: a key of `data.annotations.FORMATS`; None: detected for each file.
        tiers: layers of labels to read; empty: the format's usual one, or the only one.
        frame_rate: frames per second of frame folders and of annotations in frames; None: that of the video.
        multi_label: give parts several labels where annotations overlap.
        background: class of what lies between the annotations; None: not used.
        margin: seconds of background left out on either side of an annotation.
        min_length, max_length: bounds of a part of background in seconds; longer gaps are cut. None: the median length
            of the annotations.

    Raises:
        DataError: impossible numbers.
    """

    format: str | None = None
    tiers: tuple[str, ...] = ()
    frame_rate: float | None = None
    multi_label: bool = False
    background: str | None = None
    margin: float = 1.0
    min_length: float = 1.0
    max_length: float | None = None

    def __post_init__(self) -> None:
        if self.frame_rate is not None and not 0 < self.frame_rate < math.inf:
            raise DataError(f"prepare: a frame rate of {self.frame_rate:g} is impossible; use more than 0")
        if not 0 <= self.margin < math.inf:
            raise DataError(f"prepare: a margin of {self.margin:g} seconds is impossible; use 0 or more")
        if not 0 < self.min_length < math.inf:
            raise DataError(f"prepare: a min_length of {self.min_length:g} seconds is impossible; use more than 0")
        if self.max_length is not None and not self.min_length <= self.max_length:
            raise DataError(
                f"prepare: max_length {self.max_length:g} is below min_length {self.min_length:g}; exchange them"
            )
