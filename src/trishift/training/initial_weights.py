"""Fine-tuning: the initial weights of a run from a weight file of another model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trishift.backends.session import Session
from trishift.checkpoints import import_weights
from trishift.data.classes import class_order
from trishift.errors import CheckpointError, DataError
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, stem, tensor_table
from trishift.recipe import Recipe

_LOG = logging.getLogger(__name__)


def load_initial_weights(recipe: Recipe, session: Session, path: Path, class_names: Sequence[str] = ()) -> None:
    """Start from a weight file of any family, with its head or a new one.

    A head that is kept is put into the order of the data set's classes.

    Args:
        recipe: the run.
        session: gets the weights.
        path: the weight file.
        class_names: K names of the data set's classes.

    Raises:
        DataError: the head is kept, but it was trained for other classes.
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
    if not recipe.train.new_head:
        reorder_classes(tensors, model, class_names, checkpoint.labels or (), path)
    for info in tensor_table(model):
        new_head = recipe.train.new_head and info.part == "head"
        if new_head or (info.name not in tensors and may_start_untrained(info)):
            tensors[info.name] = own[info.name]
        _check(tensors, info, path)
    session.load_tensors({info.name: tensors[info.name] for info in tensor_table(model)})


def reorder_classes(
    tensors: Tensors, model: ModelSpec, class_names: Sequence[str], head_names: Sequence[str], path: Path
) -> None:
    """Bring the rows of a trained head, whose classes are `head_names`, into the order of `class_names`."""
    if not class_names or not head_names:
        return
    try:
        order = class_order(class_names, head_names, "the data set", str(path))
    except DataError as error:
        raise DataError(f"{error}; set train.new_head=true to train a new head") from None
    if order == tuple(range(len(order))):
        return
    _LOG.warning("%s: classes are in another order than in the data set; the head is mapped by name", path)
    for info in tensor_table(model):
        if info.per_class and info.name in tensors:
            tensors[info.name] = tensors[info.name][list(order)]


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
