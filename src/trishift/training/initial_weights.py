"""Fine-tuning: initialize a run from the weight file of another model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trishift.backends.session import Session
from trishift.checkpoints import import_weights
from trishift.checkpoints.canonical import CALIBRATION
from trishift.data.classes import class_order
from trishift.errors import CheckpointError, DataError
from trishift.model.spec import ModelSpec
from trishift.model.tensors import TensorInfo, Tensors, stem, tensor_table
from trishift.recipe import Recipe

_LOG = logging.getLogger(__name__)


def load_initial_weights(recipe: Recipe, session: Session, path: Path, class_names: Sequence[str] = ()) -> None:
    """Load the weights of a file of any family, with its head or a new one.

    A kept head is reordered to match the data set's classes.

    Args:
        recipe: recipe of the run.
        session: receives the weights.
        path: the weight file.
        class_names: names of the data set's K classes.

    Raises:
        DataError: the kept head was trained for other classes.
        CheckpointError: a tensor is missing that must not start untrained, or its shape differs.
    """
    model = recipe.model
    checkpoint, report = import_weights(path, fallback=model)
    if session.rank == 0:
        print(report.summary())
        if CALIBRATION in checkpoint.meta:
            print(dropped_calibration(path))
    check_motion(checkpoint.spec, model, path)
    tensors = dict(checkpoint.tensors)
    if adapt_stem(tensors, model) and session.rank == 0:
        print(f"{stem(model).name}: averaged over 3 colors and repeated for {stem(model).shape[1]} channels")
    if model.motion and not (checkpoint.spec and checkpoint.spec.motion):
        copy_image_tensors(tensors, model)
    own = session.dump_tensors()
    new_head = recipe.train.new_head
    if new_head == "auto":
        reason = unusable_head(tensors, model, class_names, checkpoint.labels or (), path)
        new_head = reason is not None
        if session.rank == 0:
            print(f"new head: {reason}" if new_head else f"head: that of {path}, whose classes are the data set's")
    if not new_head:
        reorder_classes(tensors, model, class_names, checkpoint.labels or (), path)
    for info in tensor_table(model):
        if (new_head and info.part == "head") or (info.name not in tensors and may_start_untrained(info)):
            tensors[info.name] = own[info.name]
        _check(tensors, info, path)
    session.load_tensors({info.name: tensors[info.name] for info in tensor_table(model)})


def check_motion(found: ModelSpec | None, model: ModelSpec, path: Path) -> None:
    """Refuse weights of a network that fuses motion differently: of MSN for TDN, or of TDN for other segments.

    Raises:
        CheckpointError: the recipe's motion modules differ from those of the file.
    """
    if found is None or found.motion is None or model.motion is None:
        return
    wanted, had = model.motion, found.motion
    if wanted.kind != had.kind:
        raise CheckpointError(
            f"{path}: weights of {had.title}, but model.motion.kind is {wanted.kind}; use a recipe of {had.title}"
        )
    if had.kind == "tdn" and (wanted.stem_share, wanted.layer1_share) != (had.stem_share, had.layer1_share):
        raise CheckpointError(
            f"{path}: its TDN fuses motion for {found.num_segments} segments, with shares of {had.stem_share} and "
            f"{had.layer1_share}, but the recipe's has {wanted.stem_share} and {wanted.layer1_share}; set "
            f"model.num_segments={found.num_segments} model.motion.stem_share={had.stem_share} "
            f"model.motion.layer1_share={had.layer1_share}, or take weights of {model.num_segments} segments"
        )


def dropped_calibration(path: Path) -> str:
    """A line about weights that were calibrated and are now trained."""
    return f"{path}: its calibration is dropped, as training changes the weights; repeat trishift calibrate afterwards"


def unusable_head(
    tensors: Tensors, model: ModelSpec, class_names: Sequence[str], head_names: Sequence[str], path: Path
) -> str | None:
    """Why a trained head, whose classes are `head_names`, cannot start the training; None if it can."""
    for info in tensor_table(model):
        if info.part == "head" and (info.name not in tensors or tensors[info.name].shape != info.shape):
            return f"{path} has no {info.name} of shape {info.shape}"
    if not class_names or not head_names:
        return None
    try:
        class_order(class_names, head_names, "the data set", str(path))
    except DataError as error:
        return str(error)
    return None


def reorder_classes(
    tensors: Tensors, model: ModelSpec, class_names: Sequence[str], head_names: Sequence[str], path: Path
) -> None:
    """Reorder a trained head from the classes `head_names` to the classes `class_names`."""
    if not class_names or not head_names:
        return
    try:
        order = class_order(class_names, head_names, "the data set", str(path))
    except DataError as error:
        raise DataError(f"{error}; set train.new_head=true to train a new head") from None
    if order == tuple(range(len(order))):
        return
    _LOG.warning("%s: its class order differs from the data set's; the head is mapped by name", path)
    for info in tensor_table(model):
        if info.per_class and info.name in tensors:
            tensors[info.name] = tensors[info.name][list(order)]


def adapt_stem(tensors: Tensors, model: ModelSpec) -> bool:
    """Adapt the first convolution of an RGB network to other inputs: each channel gets the mean over the colors (TSN).

    The result is not rescaled; the batch norm that follows adapts.

    Returns:
        Whether the convolution was adapted.
    """
    name, channels = stem(model).name, stem(model).shape[1]
    if name not in tensors or tensors[name].shape[1] != 3 or channels == 3:
        return False
    tensors[name] = _colorless(tensors[name], channels)
    return True


def _colorless(kernel: np.ndarray, channels: int) -> np.ndarray:
    """The mean over the colors of a kernel, for every channel."""
    return np.repeat(kernel.mean(axis=1, keepdims=True), channels, axis=1)


def copy_image_tensors(tensors: Tensors, model: ModelSpec) -> None:
    """Initialize the layers that see motion (MSN, TDN) from the image classifier's: the second `layer1`, TDN's stem."""
    for info in tensor_table(model):
        if info.image_tensor in tensors:
            image = tensors[info.image_tensor]
            tensors[info.name] = image if image.shape == info.shape else _colorless(image, info.shape[1])


def may_start_untrained(info: TensorInfo) -> bool:
    """Whether a weight file may lack the tensor: those of non-local blocks and of the motion modules of MSN and TDN."""
    return info.part not in ("backbone", "head")


def _check(tensors: Tensors, info: TensorInfo, path: Path) -> None:
    found = tensors[info.name].shape if info.name in tensors else "missing"
    if found != info.shape:
        hint = "; set train.new_head=true to train a new head" if info.part == "head" else ""
        raise CheckpointError(f"{path}: {info.name} is {found}, but the recipe's model needs {info.shape}{hint}")
