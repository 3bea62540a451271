"""Videos and lists for benchmarks: generated ones, and videos of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from benchmarks.options import Options
from PIL import Image

from trishift.data.prepare.conversion import Conversion

SUFFIXES = {".mp4", ".avi", ".mkv", ".webm"}
CODECS = {"H.264": ("libx264", ".mp4", {"preset": "fast"}), "MPEG-4": ("mpeg4", ".avi", {"qscale": "4"})}


def generated(options: Options, codec: str = "H.264", frames: int | None = None, count: int = 1) -> list[Path]:
    """Generated videos of 320 x 240 (quick: 64 x 48), which are written if they are missing."""
    height, width = (48, 64) if options.quick else (240, 320)
    length = frames or (12 if options.quick else 240)
    library, suffix, settings = CODECS[codec]
    paths = [options.folder / f"{library}-{length}-{number}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            encode(path, scene(height, width, length, seed=number), library, settings)
    return paths


def scene(height: int, width: int, length: int, seed: int) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 of a texture that moves under noise, about as hard to encode as a real video."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    texture = np.asarray(Image.fromarray(coarse).resize((2 * width, height), Image.Resampling.BICUBIC), np.int16)
    for number in range(length):
        start = int(width / 2 * (1 + np.sin(number / 15)))
        noise = rng.normal(0, 4, (height, width, 1)).astype(np.int16)
        yield (texture[:, start : start + width] + noise).clip(0, 255).astype(np.uint8)


def encode(path: Path, frames: Iterator[np.ndarray], library: str, settings: dict[str, str]) -> None:
    """Encode frames at 25 per second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(library, rate=25, options=settings)
        for number, pixels in enumerate(frames):
            if not number:
                stream.height, stream.width = pixels.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def converted(options: Options, video: Path, kind: Literal["videos", "frames"]) -> Path:
    """A video as `trishift prepare` re-encodes it, or as a folder of pictures, which is written if it is missing."""
    conversion = Conversion(kind, 256, "img_{:05d}.jpg")
    target = conversion.target(options.folder / "converted", f"{video.parent.name}-{video.stem}")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        conversion.convert(video, target)
    return target


def own(options: Options, count: int) -> list[Path]:
    """Videos of the user's folder, spread evenly over it; none without a folder."""
    if options.clips is None:
        return []
    found = sorted(path for path in options.clips.rglob("*") if path.suffix.lower() in SUFFIXES)
    return found[:: max(1, len(found) // count)][:count]


def list_file(options: Options, entries: int) -> Path:
    """A list of clips that do not exist, which is written if it is missing."""
    path = options.folder / f"list-{entries}.txt"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"class_{i % 400:03}/video_{i:07}.mp4 300 {i % 400}\n" for i in range(entries)))
    return path
