"""Writing a canonical checkpoint as a file of a framework or of a foreign codebase."""

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
    """Return the framework that uses the suffix of `path`; None for canonical files and folders.

    Raises:
        CheckpointError: no format uses the suffix.
    """
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if suffix not in (CANONICAL_SUFFIX, ""):
        known = ", ".join([CANONICAL_SUFFIX, *SUFFIXES])
        raise CheckpointError(f"{path}: no weight format has the suffix {suffix!r}; use one of {known}")
    return None


def write_native(path: Path, checkpoint: Checkpoint) -> None:
    """Write a file for Trishift's network in the framework of the suffix; canonical for `.safetensors`.

    The file includes the description, so that it reads back as the same checkpoint.

    Raises:
        CheckpointError: unknown suffix.
        OutputError: the file cannot be written.
    """
    framework = framework_of(path)
    if framework is None:
        if path.suffix.lower() != CANONICAL_SUFFIX:
            raise CheckpointError(f"{path}: add a suffix, one of {', '.join([CANONICAL_SUFFIX, *SUFFIXES])}")
        canonical.save(path, checkpoint)
        return
    _write(path, NATIVE[framework], checkpoint, {DESCRIPTION_KEY: encode_description(checkpoint)})


def write_dialect(path: Path, checkpoint: Checkpoint, dialect: str) -> None:
    """Write a file that a foreign codebase loads: its names, its container, its framework's format.

    Raises:
        CheckpointError: the family cannot express the model, or the suffix belongs to another framework.
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
    """Return a checkpoint's tensors as a family names and stores them.

    Raises:
        CheckpointError: a tensor is missing, or the family has no counterpart for a nonzero one.
    """
    spec = _described(checkpoint)
    tensors: dict[str, np.ndarray] = {}
    for info in tensor_table(spec):
        if info.name not in checkpoint.tensors:
            raise CheckpointError(f"the checkpoint lacks {info.name}")
        array = checkpoint.tensors[info.name]
        if family.lacks(info):
            if array.any():
                raise CheckpointError(f"{family.title} has no counterpart for {info.name}")
            continue
        tensors[family.wrap(family.spellings(info, spec)[0], info, spec)] = family.export_array(info, array)
    fillers = family.fillers(spec).items()
    return {**tensors, **{name: np.zeros(shape, np.float32) for name, shape in fillers}}


def _described(checkpoint: Checkpoint) -> ModelSpec:
    if checkpoint.spec is None:
        raise CheckpointError("the checkpoint does not describe its model")
    return checkpoint.spec


def check_expressible(checkpoint: Checkpoint, family: Dialect) -> None:
    """Refuse to write a model that the family would read as another one (for example a mirrored shift).

    Raises:
        CheckpointError: the models differ; the message names the first difference.
    """
    spec = _described(checkpoint)
    if spec.backbone not in family.backbones:
        raise CheckpointError(f"{family.title} has no {spec.backbone}")
    tensors = {name: in_memory(array) for name, array in foreign_tensors(checkpoint, family).items()}
    file = WeightFile(Path(family.name), family.title, tensors)
    recognition = recognize(file, family.name)
    names = visible_names(file, recognition)
    read = family.describe(model_from_shapes(file.path, recognition, names), names, Answers(file.path, {}, spec))
    free = {"dropout", "head"}  # not visible in files
    for key in (f.name for f in fields(spec) if f.name not in free):
        if getattr(read, key) != getattr(spec, key):
            raise CheckpointError(
                f"{family.title} would read {key} {getattr(read, key)} where this model has {getattr(spec, key)}"
            )
    if replace(read.head, relations=spec.head.relations) != spec.head:
        raise CheckpointError(f"{family.title} would read head {read.head} where this model has {spec.head}")
