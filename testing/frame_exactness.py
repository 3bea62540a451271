"""Comparison of random access with sequential decoding: equal frames, bit for bit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from trishift.data.sources import open_clip

_CHUNK = 32  # frames read at once when everything is read


def decode_everything(path: Path) -> Iterator[np.ndarray]:
    """Decode all frames in presentation order, upright and equal in size; undecodable packets are skipped."""
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        stream = container.streams.best("video")
        stream.thread_type = "NONE"  # the output for damaged frames depends on the number of threads
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
    """Return a description of the first error in random access to this file, or None.

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
    """Yield frame numbers to read together: single frames backwards, evenly spread, unordered with repeats, all."""
    yield [num_frames - 1]
    yield [num_frames // 2]
    yield [0]
    yield [int(num_frames / 16 + num_frames / 8 * k) for k in range(8)]
    yield rng.integers(num_frames, size=6).tolist()
    for start in range(0, num_frames if everything else 0, _CHUNK):
        yield rng.permutation(np.arange(start, min(start + _CHUNK, num_frames))).tolist()


def _checksum(picture: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(picture).data)
