"""Weight files of the original code bases, made on the spot.

A golden record lists the tensors of a published model and the logits its own code gave for deterministic
weights and inputs; here the same weights are written in the file format of that code base, by that code base's
means where they are at hand (`torch.save`, numpy's pickles) and by our own writers where they are not.
"""

from __future__ import annotations

import json
import pickle
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np

from trishift.checkpoints.formats.mindspore import write_ckpt

GOLDEN = Path(__file__).parent / "golden"


def record(name: str) -> dict:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def fill(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a tensor in every golden record; depends on its name and shape alone."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    if name.endswith(("running_var", "moving_variance")):
        draw = 0.5 + np.abs(draw)
    elif name.endswith(("running_mean", "moving_mean", "bias", "beta")):
        draw = 0.1 * draw
    elif len(shape) <= 1:
        draw = 0.5 + 0.5 * np.abs(draw)
    else:
        draw = draw * np.sqrt(1 / np.prod(shape[1:]))
    return draw.astype(np.float32)


def clips(entry: dict) -> np.ndarray:
    """The network input of a record as (N, T, C, H, W)."""
    shape = entry["input_shape"]
    draw = np.random.default_rng(entry["input_seed"]).standard_normal(shape).astype(np.float32)
    if entry.get("online"):
        return draw[np.newaxis]  # one clip of frames that were fed one by one
    segments = entry["num_segments"]
    return draw.reshape(shape[0], segments, shape[1] // segments, *shape[2:])


def tensors(entry: dict) -> dict[str, np.ndarray]:
    return {entry["key_prefix"] + name: fill(name, tuple(shape)) for name, shape in entry["keys"]}


def write(entry: dict, folder: Path) -> Path:
    """The record's weights in the format of its code base, under a name that tells nothing."""
    if "PaddleVideo" in entry["source"]:
        return write_pdparams(folder / "weights.pdparams", tensors(entry))
    if "mindspore" in entry["source"]:
        write_ckpt(folder / "weights.ckpt", tensors(entry), {})
        return folder / "weights.ckpt"
    container = {"epoch": 3, "state_dict": tensors(entry), "best_prec1": 71.5}
    return write_torch(folder / "weights.pth.tar", tensors(entry) if entry.get("online") else container)


def write_torch(path: Path, content: dict, *, legacy: bool = False) -> Path:
    import torch

    def convert(value):
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        return OrderedDict((k, convert(v)) for k, v in value.items()) if isinstance(value, dict) else value

    torch.save(convert(content), path, _use_new_zipfile_serialization=not legacy)
    return path


def write_pdparams(path: Path, content: dict, protocol: int = 4) -> Path:
    """What `paddle.save(layer.state_dict())` writes."""
    names = {name: f"param_{i}.w_0" for i, name in enumerate(content)}
    path.write_bytes(pickle.dumps({**content, "StructuredToParameterName@@": names}, protocol))
    return path
