"""Reading 8 frames spread over a video, against decoding everything and against OpenCV's usual loop.

Every call opens the file again, in one thread. `--clips` adds videos of your own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from benchmarks.baselines.pixels import decode_everything, read_with_opencv
from benchmarks.interleaved import compared, measure
from benchmarks.media import CODECS, generated, own
from benchmarks.options import Options
from benchmarks.rows import Row

from trishift.data.sampling import uniform_eval
from trishift.data.sources import open_clip
from trishift.errors import install_hint

FRAMES = 8
TARGET = 0.6  # of decoding everything


def rows(options: Options) -> Iterator[Row]:
    """Two rows per video."""
    videos = {f"generated {codec}": generated(options, codec)[0] for codec in CODECS}
    videos |= {f"{path.parent.name}/{path.name}": path for path in own(options, 4)}
    for title, path in videos.items():
        calls = {"ours": partial(read, path), "everything": partial(decode_everything, path, FRAMES)}
        note = ""
        try:
            import cv2  # noqa: F401
        except ImportError:
            note = f"OpenCV is not installed; {install_hint('demo')}"
        else:
            calls["OpenCV"] = partial(read_with_opencv, path, FRAMES)
        with open_clip(path) as source:
            size = f"{source.read([0]).shape[2]} x {source.read([0]).shape[1]}, {source.num_frames} frames"
        times = measure(calls, options.rounds)
        yield compared(f"{title} ({size}), against decoding everything", times, "ours", "everything", TARGET)
        yield compared(f"{title}, against OpenCV", times, "ours", "OpenCV", note=note)


def read(path: Path) -> np.ndarray:
    """Read frames as the loader does."""
    with open_clip(path) as source:
        return source.read(uniform_eval(source.num_frames, FRAMES)[0])
