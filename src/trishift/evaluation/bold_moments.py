"""Features of a folder of clips in the file layout of the BOLD Moments Dataset (Lahner et al. 2024).

    FOLDER/train_layer1.npy ... train_layer4.npy  train_baseout.npy  train_fc.npy      (V, D) float32, one row per video
    FOLDER/test_layer1.npy  ...                                                        the same for the test videos
    FOLDER/train_videos.txt  test_videos.txt                                           the videos, in row order

`baseout` is the pooled features and `fc` the logits. Feature maps are averaged over frames and flattened, channel by
channel. The published archive documents only its file names; its size is consistent with this layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trishift.errors import DataError
from trishift.io.atomic import write_atomically, write_text
from trishift.io.npz import read_npz

LAYERS = {**{f"layer{n}": f"layer{n}" for n in range(1, 5)}, "baseout": "pooled", "fc": "logits"}
"""Published layer name to the network's layer name."""

_TRAINING_VIDEOS = 1000  # of 1,102, named 0001.mp4 ... 1102.mp4


def split_videos(videos: list[Path]) -> dict[str, list[Path]]:
    """The videos of `train` and `test`, sorted by path; empty splits are omitted.

    A video's folder, `train` or `test`, determines its split; otherwise its number does.

    Raises:
        DataError: a video has neither.
    """
    splits: dict[str, list[Path]] = {"train": [], "test": []}
    for video in sorted(videos):
        splits[_split_of(video)].append(video)
    return {name: members for name, members in splits.items() if members}


def _split_of(video: Path) -> str:
    if video.parent.name in ("train", "test"):
        return video.parent.name
    if not video.stem.isdecimal():
        raise DataError(f"{video}: train or test? put it into a folder of that name, or name it by its number")
    return "train" if int(video.stem) <= _TRAINING_VIDEOS else "test"


def write_matrices(files: Mapping[Path, Path], folder: Path) -> list[Path]:
    """Join the npz files of all videos (see `features.py`) into one matrix per layer and split.

    Args:
        files: video to its npz file; arrays have the same size for all videos.
        folder: output folder.

    Returns:
        The files written.
    """
    written = []
    for split, videos in split_videos(list(files)).items():
        for published, layer in LAYERS.items():
            path = folder / f"{split}_{published}.npy"
            _write_matrix([files[video] for video in videos], layer, path)
            written.append(path)
        _write_listing(videos, folder / f"{split}_videos.txt")
    return written


def _write_listing(videos: list[Path], path: Path) -> None:
    text = "".join(f"{video}\n" for video in videos)
    write_text(path, text)


def _write_matrix(files: list[Path], layer: str, path: Path) -> None:
    """Write row by row, because a matrix can exceed the available memory."""

    def fill(file: BinaryIO) -> None:
        shape = (len(files), _row(files[0], layer).size)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for name in files:
            file.write(_row(name, layer).astype("<f4").tobytes())

    write_atomically(path, fill)


def _row(file: Path, layer: str) -> np.ndarray:
    try:
        (values,) = read_npz(file, [layer])
    except ValueError as error:
        raise DataError(f"{file}: not a file of features ({error}); remove it and try again") from None
    return values.reshape(-1)
