"""Find clips that appear more than once: the same bytes, or the same pictures in another encoding.

A signature is a gray thumbnail of a few frames, spread over the clip. Re-encoding and resizing
change it slightly; another take, or another moment of the same scene, changes some cell by far more.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from trishift.data.parts import split_part

FRAMES = 4
_SIDE = 16
# Measured on real and synthetic clips, re-encoded down to rate factor 30: residuals of at most 26 gray levels in a cell
# (19 in real clips), against 32 or more between different clips.
_CELL_TOLERANCE = 26
_SHAPE_TOLERANCE = 0.03  # 1 - correlation
_BRIGHTNESS_TOLERANCE = 2.0  # gray levels of the mean
_CONTRAST_TOLERANCE = 0.1  # logarithm of the gain
_FLAT = 4.0  # gray levels: clips with less contrast have nothing to compare


def signature_frames(num_frames: int) -> list[int]:
    """Indices of the frames in a signature, in ascending order; short clips repeat some."""
    return [(2 * number + 1) * num_frames // (2 * FRAMES) for number in range(FRAMES)]


def thumbnail(frame: np.ndarray) -> np.ndarray:
    """(16, 16) uint8 gray version of an (H, W, 3) uint8 frame."""
    gray = Image.fromarray(frame).convert("L")
    return np.asarray(gray.resize((_SIDE, _SIDE), Image.Resampling.BOX))


def identical_clips(directory: Path, paths: Sequence[Path]) -> dict[Path, Path]:
    """Clips with exactly the bytes of an earlier one: {clip: the first such clip}. Only equal sizes are read."""
    by_size: defaultdict[tuple[object, ...], list[Path]] = defaultdict(list)
    for path in paths:
        file, part = split_part(directory / path)
        sizes = tuple(member.stat().st_size for member in _files(file))
        by_size[(str(part), sizes)].append(path)
    first: dict[tuple[str, bytes], Path] = {}
    duplicates = {}
    for path in (path for same_size in by_size.values() if len(same_size) > 1 for path in same_size):
        file, part = split_part(directory / path)
        original = first.setdefault((str(part), _digest(file)), path)
        if original != path:
            duplicates[path] = original
    return duplicates


def similar_clips(signatures: Mapping[Path, np.ndarray], directory: Path) -> dict[Path, Path]:
    """Clips that look like an earlier one: {clip: the first such clip}.

    Parts of one video often look alike and are never in two lists, so they are not compared with each other.

    Args:
        signatures: clip to (FRAMES, 16, 16) uint8, in order of precedence.
        directory: folder that the clips are relative to.
    """
    paths = [path for path, signature in signatures.items() if signature.std(axis=(1, 2)).max() >= _FLAT]
    if not paths:
        return {}
    videos = [split_part(directory / path)[0] for path in paths]
    neighbors = _similar_pairs(np.stack([signatures[path] for path in paths]).reshape(len(paths), -1))
    duplicates: dict[Path, Path] = {}
    for place, path in enumerate(paths):
        originals = [
            paths[other] for other in sorted(neighbors[place]) if other < place and videos[other] != videos[place]
        ]
        first = next((original for original in originals if original not in duplicates), None)
        if first is not None:
            duplicates[path] = first
    return duplicates


def _similar_pairs(cells: np.ndarray) -> defaultdict[int, set[int]]:
    """{row: similar rows} of (N, cells) uint8; rows are sorted by mean, so that each is compared within a window."""
    means = cells.mean(axis=1)
    order = np.argsort(means, kind="stable")
    means = means[order]
    centered = cells[order].astype(np.float32) - means[:, None].astype(np.float32)
    powers = np.einsum("nc,nc->n", centered, centered)
    neighbors: defaultdict[int, set[int]] = defaultdict(set)
    for place, row in enumerate(order):
        end = int(np.searchsorted(means, means[place] + _BRIGHTNESS_TOLERANCE, "right"))
        products = centered[place + 1 : end] @ centered[place]
        unlike = 1 - products / np.sqrt(powers[place + 1 : end] * powers[place])
        for other in place + 1 + np.flatnonzero(unlike <= _SHAPE_TOLERANCE):
            gain = products[other - place - 1] / powers[other]
            residual = np.abs(centered[place] - gain * centered[other]).max()
            if abs(np.log(gain)) <= _CONTRAST_TOLERANCE and residual <= _CELL_TOLERANCE:
                neighbors[int(row)].add(int(order[other]))
                neighbors[int(order[other])].add(int(row))
    return neighbors


def _files(clip: Path) -> list[Path]:
    """A video's file, or the files of a frame folder."""
    return sorted(file for file in clip.iterdir() if file.is_file()) if clip.is_dir() else [clip]


def _digest(clip: Path) -> bytes:
    digest = hashlib.sha256()
    for file in _files(clip):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.digest()
