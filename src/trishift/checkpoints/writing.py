"""From a canonical checkpoint to the files of a framework or of a foreign code base."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from trishift.checkpoints import canonical
from trishift.checkpoints.answers import Answers
from trishift.checkpoints.canonical import DESCRIPTION_KEY, Checkpoint, encode_description
from trishift.checkpoints.dialects import dialect_named
from trishift.checkpoints.dialects.base import Dialect
from trishift.checkpoints.dialects.native import NATIVE
from trishift.checkpoints.formats.mindspore import write_ckpt
from trishift.checkpoints.formats.paddle import write_pdparams
from trishift.checkpoints.formats.paddle_legacy import write_folder
from trishift.checkpoints.formats.pytorch import write_pytorch
from trishift.checkpoints.formats.stored import WeightFile, in_memory
from trishift.checkpoints.recognition import model_from_shapes, recognize, visible_names
from trishift.errors import CheckpointError
from trishift.model.spec import ModelSpec
from trishift.model.tensors import tensor_table

SUFFIXES = {".pth": "pytorch", ".pt": "pytorch", ".tar": "pytorch", ".ckpt": "mindspore", ".pdparams": "paddle"}
CANONICAL_SUFFIX = ".safetensors"


def framework_of(path: Path) -> str | None:
    """The framework whose files end like `path`; None for canonical files and folders.

    Raises:
        CheckpointError: no format ends so.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if suffix not in (CANONICAL_SUFFIX, ""):
        known = ", ".join([CANONICAL_SUFFIX, *SUFFIXES])
        raise CheckpointError(f"{path}: no weight format ends in {suffix!r}; use one of {known}")
    return None


def write_native(path: Path, checkpoint: Checkpoint) -> None:
    """Write a file that our network in a framework loads, chosen by the suffix; canonical for `.safetensors`.

    The description travels inside, so that the file comes back as the same checkpoint.

    Raises:
        CheckpointError: unknown suffix.
        OutputError: the file cannot be written.
    """
    framework = framework_of(path)
    if framework is None:
        if path.suffix.lower() != CANONICAL_SUFFIX:
            raise CheckpointError(f"{path}: give a suffix, {', '.join([CANONICAL_SUFFIX, *SUFFIXES])}")
        canonical.save(path, checkpoint)
        return
    _write(path, NATIVE[framework], checkpoint, {DESCRIPTION_KEY: encode_description(checkpoint)})


def write_dialect(path: Path, checkpoint: Checkpoint, dialect: str) -> None:
    """Write a file that a foreign code base loads: its names, its container, its framework's format.

    Raises:
        CheckpointError: the family cannot express the model, or the suffix is another framework's.
    """
    family = dialect_named(dialect)
    if framework_of(path) not in (family.framework, None) or path.suffix == CANONICAL_SUFFIX:
        raise CheckpointError(f"{path}: weights of {family.title} are {family.framework} files; use their suffix")
    check_expressible(checkpoint, family)
    meta = {"epoch": checkpoint.meta["epoch"]} if "epoch" in checkpoint.meta else {}
    _write(path, family, checkpoint, meta if family.container else {})


def _write(path: Path, family: Dialect, checkpoint: Checkpoint, extras: dict[str, Any]) -> None:
    tensors = foreign_tensors(checkpoint, family)
    if family.framework == "pytorch":
        write_pytorch(path, tensors, extras, family.container)
    elif family.framework == "mindspore":
        write_ckpt(path, tensors, extras)
    elif path.suffix:
        write_pdparams(path, tensors, extras)
    else:
        write_folder(path, tensors)


def foreign_tensors(checkpoint: Checkpoint, family: Dialect) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint as a family names and stores them.

    Raises:
        CheckpointError: a tensor is missing, or the family has no place for one that is not zero.
    """
    spec = _described(checkpoint)
    tensors: dict[str, np.ndarray] = {}
    for info in tensor_table(spec):
        if info.name not in checkpoint.tensors:
            raise CheckpointError(f"the checkpoint lacks {info.name}")
        array = checkpoint.tensors[info.name]
        if family.lacks(info):
            if array.any():
                raise CheckpointError(f"{family.title} has no place for {info.name}")
            continue
        tensors[family.wrap(family.spellings(info, spec)[0], info, spec)] = family.export_array(info, array)
    fillers = family.fillers(spec).items()
    return {**tensors, **{name: np.zeros(shape, np.float32) for name, shape in fillers}}


def _described(checkpoint: Checkpoint) -> ModelSpec:
    if checkpoint.spec is None:
        raise CheckpointError("the checkpoint does not say what model it is")
    return checkpoint.spec


def check_expressible(checkpoint: Checkpoint, family: Dialect) -> None:
    """Refuse to write a model that the family would read as another one (a mirrored shift, say).

    Raises:
        CheckpointError: names the first difference.
    """
    spec = _described(checkpoint)
    if spec.backbone not in family.backbones:
        raise CheckpointError(f"{family.title} has no {spec.backbone}")
    tensors = {name: in_memory(array) for name, array in foreign_tensors(checkpoint, family).items()}
    file = WeightFile(Path(family.name), family.title, tensors)
    recognition = recognize(file, family.name)
    names = visible_names(file, recognition)
    read = family.describe(model_from_shapes(file.path, recognition, names), names, Answers(file.path, {}, spec))
    free = {"dropout", "head"}  # do not show in files
    for key in (f.name for f in fields(spec) if f.name not in free):
        if getattr(read, key) != getattr(spec, key):
            raise CheckpointError(
                f"{family.title} would read {key} {getattr(read, key)} where this model has {getattr(spec, key)}"
            )
    if replace(read.head, relations=spec.head.relations) != spec.head:
        raise CheckpointError(f"{family.title} would read head {read.head} where this model has {spec.head}")
