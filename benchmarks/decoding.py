"""Time to read 8 evenly spread frames of a video as RGB arrays: Trishift, decoding everything, OpenCV.

    python -m benchmarks.decoding VIDEO ... [--runs 7] [--threads 1]

Prints a Markdown table of medians in milliseconds. Every run opens the file again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np

from trishift.data.sampling import uniform_eval
from trishift.data.sources import open_clip

_NUM_FRAMES = 8


def read_with_trishift(path: Path, threads: int) -> np.ndarray:
    """Read frames as the loader does."""
    with open_clip(path, threads=threads) as clip:
        return clip.read(uniform_eval(clip.num_frames, _NUM_FRAMES)[0])


def decode_everything(path: Path, threads: int) -> np.ndarray:
    """Decode all frames and convert the wanted ones to RGB: exact and simple."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads
        stream.thread_type = "NONE" if threads == 1 else "AUTO"
        frames = list(container.decode(stream))
        return np.stack([frames[i].to_ndarray(format="rgb24") for i in uniform_eval(len(frames), _NUM_FRAMES)[0]])


def read_with_opencv(path: Path, threads: int) -> np.ndarray:
    """Run OpenCV's usual loop: trust the header's frame count, grab all frames, retrieve the wanted ones."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    wanted = set(uniform_eval(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), _NUM_FRAMES)[0].tolist())
    frames = []
    number = 0
    while capture.grab() and number <= max(wanted):
        if number in wanted:
            frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
        number += 1
    capture.release()
    return np.stack(frames)


def milliseconds(read: Callable[[Path, int], np.ndarray], path: Path, threads: int, runs: int) -> float:
    """Median of `runs`, after one run that fills the file cache."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        read(path, threads)
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    readers = {"Trishift": read_with_trishift, "decode everything": decode_everything, "OpenCV": read_with_opencv}
    print(f"| video | size, frames | {' | '.join(readers)} |")
    print("|---|---|" + "---:|" * len(readers))
    for path in arguments.videos:
        with open_clip(path) as clip:
            height, width = clip.read([0]).shape[1:3]
            facts = f"{width}x{height}, {clip.num_frames}"
        times = [milliseconds(read, path, arguments.threads, arguments.runs) for read in readers.values()]
        print(f"| {path.name} | {facts} | " + " | ".join(f"{value:.1f}" for value in times) + " |")


if __name__ == "__main__":
    main()
