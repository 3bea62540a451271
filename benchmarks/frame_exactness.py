"""Check that random access gives exactly the frames that decoding everything gives, on every video under a folder.

    python benchmarks/frame_exactness.py DIR [--seed 0]

Prints one line per file that differs or cannot be read, and a summary; exits with 1 if any file differs.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from trishift.data.sources import open_clip
from trishift.errors import DataError

_NO_VIDEOS = {".jpg", ".jpeg", ".png", ".txt", ".md", ".csv", ".json", ".pt", ".py"}
_CHUNK = 32  # frames read at once when everything is read


def decode_everything(path: Path) -> Iterator[np.ndarray]:
    """All pictures in presentation order, upright and of one size; packets that do not decode are passed over."""
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        stream = container.streams.best("video")
        stream.thread_type = "NONE"  # what a decoder makes of damaged frames depends on its threads
        width, height = stream.codec_context.width, stream.codec_context.height
        for packet in container.demux(stream):
            try:
                frames = stream.codec_context.decode(packet)
            except av.FFmpegError:
                continue
            for frame in frames:
                picture = frame.to_ndarray(format="rgb24", width=width, height=height)
                yield np.rot90(picture, frame.rotation // 90)


def compare(path: Path, rng: np.random.Generator, *, everything: bool = True) -> str | None:
    """What is wrong with random access to this file, or None.

    Args:
        path: a video that can be opened.
        rng: draws the frames of the random reads.
        everything: also read all frames, in random order within chunks.

    Raises:
        DataError: the file cannot be read at all.
    """
    with open_clip(path) as clip:
        expected = [(picture.shape, _checksum(picture)) for picture in decode_everything(path)]
        if clip.num_frames != len(expected):
            return f"num_frames is {clip.num_frames}, {len(expected)} frames decode"
        for indices in _requests(len(expected), rng, everything=everything):
            for index, picture in zip(indices, clip.read(indices), strict=True):
                if (picture.shape, _checksum(picture)) != expected[index]:
                    return f"frame {index} differs when reading {indices}"
    return None


def _requests(num_frames: int, rng: np.random.Generator, *, everything: bool) -> Iterator[list[int]]:
    """Frame numbers to read together: single frames backwards, spread ones, unordered ones with repeats, all."""
    yield [num_frames - 1]
    yield [num_frames // 2]
    yield [0]
    yield [int(num_frames / 16 + num_frames / 8 * k) for k in range(8)]
    yield rng.integers(num_frames, size=6).tolist()
    for start in range(0, num_frames if everything else 0, _CHUNK):
        yield rng.permutation(np.arange(start, min(start + _CHUNK, num_frames))).tolist()


def _checksum(picture: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(picture))


def main() -> int:
    """Sweep a folder; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    files = sorted(p for p in arguments.folder.rglob("*") if p.is_file() and p.suffix.lower() not in _NO_VIDEOS)
    exact = different = unreadable = 0
    for path in files:
        try:
            problem = compare(path, np.random.default_rng(arguments.seed))
        except DataError as error:
            unreadable += 1
            print(f"unreadable  {error}", flush=True)
            continue
        if problem is None:
            exact += 1
        else:
            different += 1
            print(f"DIFFERENT   {path}: {problem}", flush=True)
    print(f"{len(files)} files: {exact} exact, {different} different, {unreadable} unreadable")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
