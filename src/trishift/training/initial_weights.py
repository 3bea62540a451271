"""Fine-tuning: the initial weights of a run from a weight file of another model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trishift.backends.contract import Session
from trishift.checkpoints import import_weights
from trishift.errors import CheckpointError
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, stem, tensor_table
from trishift.recipe import Recipe


def load_initial_weights(recipe: Recipe, session: Session, path: Path) -> None:
    """Start from a weight file of any family, with its head or a new one.

    Raises:
        CheckpointError: the file lacks a tensor that cannot start untrained, or has one of another shape.
    """
    model = recipe.model
    checkpoint, report = import_weights(path, fallback=model)
    if session.rank == 0:
        print(report.summary())
    tensors = dict(checkpoint.tensors)
    if adapt_stem(tensors, model) and session.rank == 0:
        print(f"{stem(model).name}: the mean over 3 colors, for {stem(model).shape[1]} channels")
    if model.motion and not (checkpoint.spec and checkpoint.spec.motion):
        copy_twins(tensors, model)
    own = session.dump_tensors()
    for info in tensor_table(model):
        new_head = recipe.train.new_head and info.part == "head"
        if new_head or (info.name not in tensors and may_start_untrained(info)):
            tensors[info.name] = own[info.name]
        _check(tensors, info, path)
    session.load_tensors({info.name: tensors[info.name] for info in tensor_table(model)})


def adapt_stem(tensors: Tensors, model: ModelSpec) -> bool:
    """Make the first convolution of an RGB network see other channels: each gets the mean over the colors (TSN).

    The result is not rescaled; where it matters, the batch norm behind it adapts.

    Returns:
        Whether that was necessary.
    """
    name, channels = stem(model).name, stem(model).shape[1]
    if name not in tensors or tensors[name].shape[1] != 3 or channels == 3:
        return False
    tensors[name] = np.repeat(tensors[name].mean(axis=1, keepdims=True), channels, axis=1)
    return True


def copy_twins(tensors: Tensors, model: ModelSpec) -> None:
    """Start MSN's second `layer1`, which sees motion, like the first one of an image classifier."""
    for info in tensor_table(model):
        if info.twin in tensors:
            tensors[info.name] = tensors[info.twin]


def may_start_untrained(info: TensorInfo) -> bool:
    """Whether other weights may lack a tensor: non-local blocks, and what MSN adds to an image classifier."""
    return info.part not in ("backbone", "head")


def _check(tensors: Tensors, info: TensorInfo, path: Path) -> None:
    found = tensors[info.name].shape if info.name in tensors else "missing"
    if found != info.shape:
        hint = "; set train.new_head=true to train a new head" if info.part == "head" else ""
        raise CheckpointError(f"{path}: {info.name} is {found}, but the recipe's model needs {info.shape}{hint}")
