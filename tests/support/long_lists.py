"""A tiny model and a list of many short clips, some of which cannot be read."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from testing.encoded_clips import encode

from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec


def write_long_list(folder: Path, clips: int, broken: Collection[int], digits: int, *, labeled: bool) -> Path:
    """Write `model.safetensors` of three classes, `list.txt` and its clips, named by numbers; returns the folder."""
    spec = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(4))
    tensors = open_session("pytorch", spec).dump_tensors()
    names = ("a", "b", "c")
    canonical.save(folder / "model.safetensors", Checkpoint(tensors, spec, InputSpec(resize=36, crop=32), names))
    encode(folder / "clip.mp4", "mpeg4", num_frames=9)
    lines = []
    for number in range(clips):
        path = folder / f"{number:0{digits}}.mp4"
        if number in broken:
            path.write_text("not a video")
        else:
            path.symlink_to("clip.mp4")
        lines.append(f"{path.name} {number % 3}\n" if labeled else f"{path.name}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder
