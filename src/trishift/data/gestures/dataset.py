"""Write the gesture clips, their lists and labels into a folder.

DIR/train/swiping_left_0007.mp4 ...   DIR/val/...      clips; the same number in the other class of a pair is
                                                       the same clip backwards
DIR/train.txt  DIR/val.txt            `path frames label` per line; with two hands train.csv, val.csv: several labels
DIR/labels.txt                        one class name per line
DIR/gestures.json                     what the folder holds; written last
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from trishift.data.gestures.drawing import render
from trishift.data.gestures.encoding import write_clip
from trishift.data.gestures.motion import CLASSES, MOVING
from trishift.data.gestures.scenes import Scene, class_names, draw_motion, is_symmetric, num_kinds, reverse, scenes
from trishift.data.lists import VideoRecord, write_labels, write_list
from trishift.errors import DataError
from trishift.io.atomic import make_folder, write_text
from trishift.io.threads import map_in_threads

_VERSION = 1  # raise whenever the same settings give other clips
_MANIFEST = "gestures.json"
_SPLITS = ("train", "val")


@dataclass(frozen=True)
class GestureSet:
    """Paths of a finished data set; clip paths in the lists are relative to the lists' folder."""

    train_list: Path
    val_list: Path
    labels: Path


@dataclass(frozen=True)
class _Settings:
    train: int
    val: int
    size: int
    seed: int
    hands: int
    version: int = _VERSION

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names: one hand makes a gesture or none, of two hands each motion is a label."""
        return CLASSES if self.hands == 1 else MOVING


@dataclass(frozen=True)
class _Twins:
    """One drawn scene and the two clips that it becomes: as it is, and backwards."""

    split: str
    scene: Scene
    place: int  # of the scene among all
    number: int

    @property
    def clips(self) -> tuple[tuple[str, tuple[str, ...]], tuple[str, tuple[str, ...]]]:
        """(file name, class of each hand) of both clips."""
        forward, backward = class_names(self.scene), class_names(reverse(self.scene))
        if is_symmetric(self.scene):
            return self._clip(forward, 2 * self.number), self._clip(backward, 2 * self.number + 1)
        return self._clip(forward, self.number), self._clip(backward, self.number)

    def _clip(self, classes: tuple[str, ...], number: int) -> tuple[str, tuple[str, ...]]:
        name = "+".join(name.lower().replace(" ", "_") for name in sorted(classes))
        return f"{self.split}/{name}_{number:04d}.mp4", classes


def make_gestures(
    directory: str | Path,
    *,
    train: int | None = None,
    val: int | None = None,
    size: int = 64,
    seed: int = 0,
    hands: Literal[1, 2] = 1,
    workers: int | None = None,
    force: bool = False,
) -> GestureSet:
    """Make the data set, or find it made.

    Every motion is written forwards for one class of a pair and backwards for the other, in both splits. The
    frames of a clip are thus also the frames of a clip of the other class, and a model that ignores their order
    cannot score more than 1/9 + 8/9 * 1/2 = 56 %. With two hands, one in each half of the picture, a clip has the
    labels of all motions in it, one or two of eight; its twin has the opposite ones.

    Args:
        directory: where to; made if missing. It must be empty or hold a gesture set; one that was left unfinished
            is made anew.
        train: training clips, a multiple of 18 (9 classes, twins), or with two hands of 72 (36 pairs of gestures,
            twins); default: 1,800.
        val: validation clips, a multiple of the same; default: 450, or 432 with two hands.
        size: side of the square pictures in pixels, even.
        seed: of everything random.
        hands: 1, or 2 for several labels a clip.
        workers: threads; None for one per core.
        force: replace a set that was made with other settings.

    Raises:
        DataError: wrong numbers, a folder of something else, or a set of other settings and `force` is not set.
        OutputError: the disk cannot be written.

    Example:
        >>> from trishift.data.gestures import make_gestures
        >>> from trishift.data.lists import read_list
        >>> gestures = make_gestures("gestures", train=18, val=18, size=32)
        >>> len(read_list(gestures.train_list))
        18
    """
    step = 2 * num_kinds(hands)
    train, val = train or 1800 // step * step, val or 450 // step * step
    directory, settings = Path(directory), _Settings(train, val, size, seed, hands)
    _check(settings)
    suffix = "txt" if hands == 1 else "csv"
    result = GestureSet(directory / f"train.{suffix}", directory / f"val.{suffix}", directory / "labels.txt")
    found = _read_manifest(directory)
    if found == {**asdict(settings), "complete": True}:
        return result
    if isinstance(found, dict) and found.get("complete") and not force:
        raise DataError(
            f"{directory}: holds gestures of other settings; choose another folder, or --force to replace them"
        )
    _begin(directory, settings)
    twins = [twin for split, clips in zip(_SPLITS, (train, val), strict=True) for twin in _plan(split, clips, hands)]
    lengths = map_in_threads(lambda twin: _make(directory, twin, settings), twins, workers, "drawing gestures")
    for split, path in zip(_SPLITS, (result.train_list, result.val_list), strict=True):
        write_list(path, _records(directory, split, twins, lengths, settings.labels))
    write_labels(result.labels, settings.labels)
    _write_manifest(directory, settings, complete=True)
    return result


def _check(settings: _Settings) -> None:
    step = 2 * num_kinds(settings.hands)
    for name in _SPLITS:
        clips = getattr(settings, name)
        if clips < step or clips % step:
            raise DataError(
                f"gestures: {name}: {clips} clips do not make twins of every kind; use a multiple of {step}"
            )
    if settings.size < 32 or settings.size % 2:
        raise DataError(f"gestures: size: {settings.size} is not an even number of at least 32 pixels")


def _plan(split: str, clips: int, hands: int) -> Iterator[_Twins]:
    per_kind = clips // num_kinds(hands)
    for place, scene in enumerate(scenes(hands)):
        for number in range(per_kind // 2 if is_symmetric(scene) else per_kind):
            yield _Twins(split, scene, place, number)


def _records(
    directory: Path, split: str, twins: list[_Twins], lengths: list[int], labels: tuple[str, ...]
) -> Iterator[VideoRecord]:
    """The clips of a split; the records' lines are not used."""
    for twin, frames in zip(twins, lengths, strict=True):
        if twin.split == split:
            for name, classes in twin.clips:
                numbers = sorted({labels.index(label) for label in classes if label in labels})
                yield VideoRecord(directory / name, tuple(numbers), frames, 0)


def _make(directory: Path, twin: _Twins, settings: _Settings) -> int:
    """Draw and write both clips; returns their number of frames."""
    rng = np.random.default_rng((settings.seed, _SPLITS.index(twin.split), twin.place, twin.number))
    frames = render(draw_motion(twin.scene, rng), settings.size, rng)
    (forward, _), (backward, _) = twin.clips
    write_clip(directory / forward, frames)
    write_clip(directory / backward, frames[::-1])
    return len(frames)


def _read_manifest(directory: Path) -> object:
    try:
        return json.loads((directory / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_manifest(directory: Path, settings: _Settings, *, complete: bool) -> None:
    write_text(directory / _MANIFEST, json.dumps({**asdict(settings), "complete": complete}, indent=1) + "\n")


def _begin(directory: Path, settings: _Settings) -> None:
    """Make the folders; remove the clips of another or an unfinished gesture set, and nothing else."""
    make_folder(directory)
    is_empty = all(entry.name.startswith(".") for entry in directory.iterdir())
    if not is_empty and not (directory / _MANIFEST).is_file():
        raise DataError(f"{directory}: is not empty and holds no gestures; choose another folder")
    _write_manifest(directory, settings, complete=False)
    for split in _SPLITS:
        shutil.rmtree(directory / split, ignore_errors=True)
        make_folder(directory / split)
