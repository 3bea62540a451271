"""Check clips by decoding them, completely unless a conversion does so later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from trishift.data.prepare.similarity import signature_frames, thumbnail
from trishift.data.sources import open_clip
from trishift.data.video import VideoFile
from trishift.errors import DataError
from trishift.io.threads import map_in_threads

_TRUNCATED = 0.9  # fraction of the announced frames
_DECODED_BYTES = 32 * 2**20  # decoded per read


@dataclass(frozen=True)
class CheckedClip:
    """Result of decoding a clip.

    Attributes:
        path: path relative to the checked folder.
        num_frames: number of decodable frames, 0 if none; where frames were only sampled, all are counted.
        announced_frames: frame count in the header, None if it has none.
        problem: reason why the clip cannot be used, or None.
        short_side: pixels, 0 if unknown.
        signature: thumbnails of a few frames, see `similarity`; None if the clip cannot be used.
        converted: the converted form; None for the clip itself.
    """

    path: Path
    num_frames: int = 0
    announced_frames: int | None = None
    problem: str | None = None
    short_side: int = 0
    signature: np.ndarray | None = field(default=None, compare=False, repr=False)
    converted: Path | None = None


def is_truncated(num_frames: int | None, announced_frames: int | None) -> bool:
    """Whether clearly fewer frames decode than the header announces."""
    return bool(num_frames and announced_frames and num_frames < _TRUNCATED * announced_frames - 1)


def check_clips(
    directory: Path,
    paths: Sequence[Path],
    workers: int | None = None,
    sampled: bool = False,
    template: str | None = None,
) -> dict[Path, CheckedClip]:
    """Decode every clip, in threads and with a progress bar; `sampled`: only a few frames of videos."""
    check = partial(check_clip, directory, sampled=sampled, template=template)
    return dict(zip(paths, map_in_threads(check, paths, workers, "checking clips"), strict=True))


def check_clip(directory: Path, path: Path, sampled: bool = False, template: str | None = None) -> CheckedClip:
    """Decode one clip completely, or only the frames of its signature if it is a `sampled` video."""
    try:
        with open_clip(directory / path, template=template) as source:
            announced = source.announced_frames if isinstance(source, VideoFile) else None
            wanted = signature_frames(source.num_frames)
            if sampled and isinstance(source, VideoFile):
                frames = source.read(wanted)
                signature = np.stack([thumbnail(frame) for frame in frames])
                return CheckedClip(path, source.num_frames, announced, None, min(frames.shape[1:3]), signature)
            thumbnails: list[np.ndarray] = []
            position, step, short_side = 0, 1, 0
            while position < source.num_frames:
                frames = source.read(range(position, min(position + step, source.num_frames)))
                thumbnails += [
                    thumbnail(frames[index - position]) for index in wanted if index - position in range(len(frames))
                ]
                position += len(frames)
                short_side = min(frames.shape[1:3])
                step = max(1, _DECODED_BYTES // frames[0].nbytes)
            return CheckedClip(path, source.num_frames, announced, None, short_side, _stacked(thumbnails))
    except DataError as error:
        return CheckedClip(path, problem=str(error))


def _stacked(thumbnails: list[np.ndarray]) -> np.ndarray | None:
    """The signature; None where damage changed the frame count in between."""
    return np.stack(thumbnails) if len(thumbnails) == len(signature_frames(1)) else None
