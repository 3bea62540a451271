"""Make docs/timeline.gif: gestures in a row, and what `trishift timeline` says about them.

    python -m docs.pictures.timeline runs/quickstart/tsm

The gestures are validation clips of a new set, drawn larger than the network sees them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image
from testing.long_gestures import compose

from trishift.data.gestures import make_gestures
from trishift.data.lists import read_list
from trishift.io.atomic import staged

PICTURE = Path(__file__).parents[1] / "timeline.gif"
SIZE, SEED = 320, 16
PLAYED = (1, 4, 7, 2, 5, 8)  # class numbers, in order of time
COLORS = 48


def main() -> None:
    """Compose the video, run the command, and convert its film."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    checkpoint = parser.parse_args().checkpoint
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        gestures = make_gestures(work / "gestures", train=18, val=18, size=SIZE, seed=SEED)
        clips = {record.labels[0]: record.path for record in read_list(gestures.val_list)}
        compose(work / "gestures.mp4", [(clips[label], label) for label in PLAYED])
        film = work / "film.mp4"
        command = ("timeline", work / "gestures.mp4", "--checkpoint", checkpoint, "--output", film)
        subprocess.run([sys.executable, "-m", "trishift", *map(str, command)], check=True)
        write_gif(film)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1e6:.2f} MB")


def write_gif(film: Path) -> None:
    """Write all frames with one palette."""
    with av.open(str(film)) as source:
        rate = float(source.streams.video[0].average_rate or 12)
        frames = [frame.to_image() for frame in source.decode(video=0)]
    palette = _mosaic(frames[:: max(1, len(frames) // 16)]).quantize(COLORS)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    with staged(PICTURE) as new:
        small[0].save(new, "GIF", save_all=True, append_images=small[1:], duration=1000 / rate, loop=0)


def _mosaic(frames: list[Image.Image]) -> Image.Image:
    """The frames below one another, for a palette that suits all of them."""
    width, height = frames[0].size
    mosaic = Image.new("RGB", (width, height * len(frames)))
    for number, frame in enumerate(frames):
        mosaic.paste(frame, (0, number * height))
    return mosaic


if __name__ == "__main__":
    main()
