"""Generated weight files of the original codebases.

Golden records list the tensors of published models; `write_record` writes them in the original's format, with the
original's tools if available (`torch.save`, pickle). The other functions spell the names of models without a record,
following the codebases' grammars and without the package's own tables.
"""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from testing.golden_records import GOLDEN, fill
from trishift.checkpoints import Checkpoint
from trishift.checkpoints.formats.mindspore import write_ckpt
from trishift.checkpoints.formats.stored import WeightFile, in_memory
from trishift.checkpoints.reading import import_file
from trishift.model.spec import InputSpec, ModelSpec
from trishift.model.tensors import tensor_table

COUNTER = "num_batches_tracked"
Shapes = dict[str, tuple[int, ...]]

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
NON_LOCAL = {(2, 0), (2, 2), (3, 0), (3, 2), (3, 4)}
MOBILENET_SHIFTS = {3, 5, 6, 8, 9, 10, 12, 13, 15, 16}


def records() -> list[str]:
    return sorted(path.stem for path in GOLDEN.glob("*.json") if not path.stem.startswith("preprocess"))


def record(name: str) -> dict:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def record_tensors(entry: dict) -> dict[str, np.ndarray]:
    """Return the record's weights."""
    return filled({name: tuple(shape) for name, shape in entry["keys"]}, entry["key_prefix"])


def filled(shapes: Shapes, prefix: str = "") -> dict[str, np.ndarray]:
    """Draw weights from their names; counters of batch norms are zero."""
    return {
        prefix + name: np.zeros(shape, np.int64) if name.endswith(COUNTER) else fill(name, shape)
        for name, shape in shapes.items()
    }


def write_record(entry: dict, folder: Path) -> Path:
    """Write the record's weights in the format of its codebase, under an uninformative name."""
    tensors = record_tensors(entry)
    if "PaddleVideo" in entry["source"]:
        return write_pdparams(folder / "weights.pdparams", tensors)
    if "mindspore" in entry["source"]:
        write_ckpt(folder / "weights.ckpt", tensors, {})
        return folder / "weights.ckpt"
    container = {"epoch": 3, "state_dict": tensors, "best_prec1": 71.5}
    return write_torch(folder / "weights.pth.tar", tensors if entry.get("online") else container)


def write_torch(path: Path, content: dict, *, legacy: bool = False) -> Path:
    import torch

    def convert(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value)
        return OrderedDict((k, convert(v)) for k, v in value.items()) if isinstance(value, dict) else value

    torch.save(convert(content), path, _use_new_zipfile_serialization=not legacy)
    return path


def write_pdparams(path: Path, content: dict, protocol: int = 4) -> Path:
    """Write a file like `paddle.save(layer.state_dict())`."""
    names = {name: f"param_{i}.w_0" for i, name in enumerate(content)}
    path.write_bytes(pickle.dumps({**content, "StructuredToParameterName@@": names}, protocol))
    return path


def in_file(shapes: Shapes, name: str = "weights", **extras: object) -> WeightFile:
    """Build an in-memory file; each tensor has a distinct constant value and takes no memory."""
    tensors = {
        key: in_memory(np.broadcast_to(np.float32(i + 0.5), shape)) for i, (key, shape) in enumerate(shapes.items())
    }
    return WeightFile(Path(name), "PyTorch zip", tensors, dict(extras))


def _norm(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for role in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{role}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def tsm_resnet(
    depth: int,
    *,
    shift: str = "none",
    width: int = 4,
    channels: int = 3,
    classes: int = 7,
    non_local: bool = False,
    temporal_pool: bool = False,
    prefix: str = "module.",
    head: str = "new_fc",
) -> Shapes:
    """Spell temporal-shift-module's names of a ResNet, following its grammar."""
    bottleneck = depth >= 50
    expansion = 4 if bottleneck else 1
    shapes: Shapes = {"base_model.conv1.weight": (width, channels, 7, 7), **dict(_norm("base_model.bn1", width))}
    inputs = width
    for stage, blocks in enumerate(DEPTHS[depth], 1):
        inner = width * 2 ** (stage - 1)
        outputs = inner * expansion
        for i in range(blocks):
            layer = f"base_model.layer{stage}." + ("net." if temporal_pool and stage == 2 else "") + f"{i}."
            wrapped = non_local and (stage, i) in NON_LOCAL
            place = layer + ("block." if wrapped else "") + ("net." if shift == "block" else "")
            shifted = shift == "blockres" and (DEPTHS[depth][2] < 23 or i % 2 == 0)
            kernels = [(inner, inputs, 1, 1), (inner, inner, 3, 3), (outputs, inner, 1, 1)]
            if not bottleneck:
                kernels = [(inner, inputs, 3, 3), (inner, inner, 3, 3)]
            for k, kernel in enumerate(kernels, 1):
                shapes[f"{place}conv{k}.{'net.' if shifted and k == 1 else ''}weight"] = kernel
                shapes |= dict(_norm(f"{place}bn{k}", kernel[0]))
            if i == 0 and (bottleneck or stage > 1):
                shapes[f"{place}downsample.0.weight"] = (outputs, inputs, 1, 1)
                shapes |= dict(_norm(f"{place}downsample.1", outputs))
            if wrapped:
                half = outputs // 2
                for name in ("g.0", "theta", "phi.0"):
                    shapes |= {f"{layer}nl.{name}.weight": (half, outputs, 1, 1, 1), f"{layer}nl.{name}.bias": (half,)}
                shapes |= {f"{layer}nl.W.0.weight": (outputs, half, 1, 1, 1), f"{layer}nl.W.0.bias": (outputs,)}
                shapes |= dict(_norm(f"{layer}nl.W.1", outputs))
            inputs = outputs
    shapes |= {f"{head}.weight": (classes, inputs), f"{head}.bias": (classes,)}
    return {prefix + name: shape for name, shape in shapes.items()}


def paddle_resnet(depth: int, *, fluid: bool, width: int = 4, classes: int = 7) -> Shapes:
    """Spell PaddleVideo's names of a bottleneck ResNet, or (`fluid`) Paddle 1.x variables; matrices are (in, out)."""

    def conv(name: str, shape: tuple[int, ...]) -> Shapes:
        if fluid:
            block = name.removeprefix("res")
            norm = "bn_conv1" if name == "conv1" else f"bn{block}"
            roles = {f"{norm}_{role}": shape[:1] for role in ("scale", "offset", "mean", "variance")}
            return {f"{name}_weights": shape, **roles}
        roles = {f"{name}._batch_norm.{role}": shape[:1] for role in ("weight", "bias", "_mean", "_variance")}
        return {f"{name}._conv.weight": shape, **roles}

    shapes = conv("conv1" if fluid else "backbone.conv", (width, 3, 7, 7))
    inputs = width
    for stage, blocks in enumerate(DEPTHS[depth], 2):
        inner = width * 2 ** (stage - 2)
        for i in range(blocks):
            letter = f"b{i}" if stage == 4 and depth >= 101 and i else "abcdefgh"[i] if i < 8 else ""
            kernels = [(inner, inputs, 1, 1), (inner, inner, 3, 3), (4 * inner, inner, 1, 1)]
            for k, kernel in enumerate(kernels):
                place = f"_branch2{'abc'[k]}" if fluid else f".conv{k}"
                shapes |= conv(f"{'' if fluid else 'backbone.'}res{stage}{letter}{place}", kernel)
            if i == 0:
                place = "_branch1" if fluid else ".short"
                shapes |= conv(f"{'' if fluid else 'backbone.'}res{stage}{letter}{place}", (4 * inner, inputs, 1, 1))
            inputs = 4 * inner
    weight, bias = ("fc_0.w_0", "fc_0.b_0") if fluid else ("head.fc.weight", "head.fc.bias")
    return {**shapes, weight: (inputs, classes), bias: (classes,)}


def trn_head(segments: int, classes: int, *, multiscale: bool, prefix: str = "module.") -> Shapes:
    """Spell TRN's relations on 256 features per frame."""
    shapes: Shapes = {}
    scales = range(segments, 1, -1) if multiscale else [segments]
    for i, frames in enumerate(scales):
        name = f"{prefix}consensus." + (f"fc_fusion_scales.{i}" if multiscale else "classifier")
        hidden = 256 if multiscale else 512
        shapes |= {f"{name}.1.weight": (hidden, frames * 256), f"{name}.1.bias": (hidden,)}
        shapes |= {f"{name}.3.weight": (classes, hidden), f"{name}.3.bias": (classes,)}
    return shapes


def read(
    shapes: Shapes, name: str = "weights", dialect: str | None = None, extras: dict | None = None, **options: Any
) -> Checkpoint:
    """Import in-memory tensors; all must fit."""
    return import_file(in_file(shapes, name, **(extras or {})), dialect, **options)[0]


def model_of(spec: ModelSpec, seed: int = 0) -> Checkpoint:
    """Draw random weights; those that mmaction2 lacks are zero."""
    rng = np.random.default_rng(seed)
    tensors = {t.name: rng.standard_normal(t.shape, np.float32) for t in tensor_table(spec)}
    for name in tensors:
        if name.endswith("non_local.out.bias"):
            tensors[name][:] = 0  # mmaction2 has none
    return Checkpoint(tensors, spec, InputSpec())
