"""Options of `prepare folder` and `prepare list`."""

from __future__ import annotations

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
