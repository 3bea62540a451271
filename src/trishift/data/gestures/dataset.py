"""Write the gesture clips, their lists and labels into a folder.

DIR/train/swiping_left_0007.mp4 ...   clips; the same number in the other class of a pair is the same clip reversed
DIR/val/...
DIR/train.txt, val.txt                `path frames label` per line; with two hands, multi-label train.csv and val.csv
DIR/labels.txt                        one class name per line
DIR/gestures.json                     settings of the set; marked complete at the end
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

_VERSION = 1  # increment whenever the same settings produce different clips
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
        """Class names: with one hand, every gesture and stillness; with two hands, only the motions."""
        return CLASSES if self.hands == 1 else MOVING


@dataclass(frozen=True)
class _ClipPair:
    """One drawn scene and its two clips, forward and reversed."""

    split: str
    scene: Scene
    scene_index: int
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
    """Generate the data set, unless it exists already.

    Every motion is written forward for one class of a pair and reversed for the other, in both splits. Both clips
    have the same frames, so a model that ignores frame order cannot exceed an accuracy of
    1/9 + 8/9 * 1/2 = 56%. With two hands, one in each half of the picture, a clip has one or two of eight motion
    labels; the reversed clip has the opposite ones.

    Args:
        directory: output folder; created if missing. It must be empty or hold a gesture set; an unfinished set is
            generated again.
        train: training clips, a multiple of 18 (9 classes, 2 clips per motion), or with two hands of 72 (36 gesture
            combinations, 2 clips each); default: 1,800.
        val: validation clips, a multiple of the same number; default: 450, or 432 with two hands.
        size: side of the square pictures in pixels, even.
        seed: random seed of the whole set.
        hands: 1, or 2 for multi-label clips.
        workers: threads; None for one per core.
        force: replace a set with other settings.

    Raises:
        DataError: invalid numbers, a folder with other content, or a set with other settings and `force` is not set.
        OutputError: `directory` cannot be written.

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
            f"{directory}: contains gestures with other settings; choose another folder, or use --force to replace them"
        )
    _begin(directory, settings)
    pairs = [pair for split, clips in zip(_SPLITS, (train, val), strict=True) for pair in _plan(split, clips, hands)]
    lengths = map_in_threads(lambda pair: _make(directory, pair, settings), pairs, workers, "drawing gestures")
    for split, path in zip(_SPLITS, (result.train_list, result.val_list), strict=True):
        write_list(path, _records(directory, split, pairs, lengths, settings.labels))
    write_labels(result.labels, settings.labels)
    _write_manifest(directory, settings, complete=True)
    return result


def _check(settings: _Settings) -> None:
    step = 2 * num_kinds(settings.hands)
    for name in _SPLITS:
        clips = getattr(settings, name)
        if clips < step or clips % step:
            raise DataError(
                f"gestures: {name}: {clips} clips cannot be divided among the gestures; use a multiple of {step}"
            )
    if settings.size < 32 or settings.size % 2:
        raise DataError(f"gestures: size: {settings.size} is not an even number of at least 32 pixels")


def _plan(split: str, clips: int, hands: int) -> Iterator[_ClipPair]:
    per_kind = clips // num_kinds(hands)
    for scene_index, scene in enumerate(scenes(hands)):
        for number in range(per_kind // 2 if is_symmetric(scene) else per_kind):
            yield _ClipPair(split, scene, scene_index, number)


def _records(
    directory: Path, split: str, pairs: list[_ClipPair], lengths: list[int], labels: tuple[str, ...]
) -> Iterator[VideoRecord]:
    """Records of a split's clips; line numbers are unused."""
    for pair, frames in zip(pairs, lengths, strict=True):
        if pair.split == split:
            for name, classes in pair.clips:
                numbers = sorted({labels.index(label) for label in classes if label in labels})
                yield VideoRecord(directory / name, tuple(numbers), frames, 0)


def _make(directory: Path, pair: _ClipPair, settings: _Settings) -> int:
    """Draw and write both clips; returns their frame count."""
    rng = np.random.default_rng((settings.seed, _SPLITS.index(pair.split), pair.scene_index, pair.number))
    frames = render(draw_motion(pair.scene, rng), settings.size, rng)
    (forward, _), (backward, _) = pair.clips
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
    """Create the folders, removing only the clips of another or unfinished gesture set."""
    make_folder(directory)
    is_empty = all(entry.name.startswith(".") for entry in directory.iterdir())
    if not is_empty and not (directory / _MANIFEST).is_file():
        raise DataError(f"{directory}: not empty, and not a gesture set; choose another folder")
    _write_manifest(directory, settings, complete=False)
    for split in _SPLITS:
        shutil.rmtree(directory / split, ignore_errors=True)
        make_folder(directory / split)
