"""Teachers: trained networks of any family that guide a training with their class probabilities.

They run in the framework of the training, in evaluation mode, on the pixels of the student's clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trishift.backends import open_session
from trishift.backends.session import Session
from trishift.checkpoints import Checkpoint, import_weights
from trishift.data.classes import class_order
from trishift.errors import CheckpointError, DataError
from trishift.evaluation.metrics import softmax
from trishift.model.relations import prediction_relations
from trishift.model.spec import FRAME_CHANNELS, InputSpec, ModelSpec
from trishift.recipe import Recipe
from trishift.zoo.sources import WeightSource, weight_source


@dataclass(frozen=True)
class _Teacher:
    """A network, and how its input and output differ from the student's.

    Attributes:
        session: the network.
        pixels: maps the student's clips to the teacher's.
        order: the teacher's class of each of the student's classes.
    """

    session: Session
    pixels: PixelMap
    order: tuple[int, ...]


def teacher_sources(recipe: Recipe) -> list[WeightSource]:
    """The weights of a recipe's teachers: files, published names or addresses."""
    return [weight_source(text) for text in recipe.train.distillation.teachers]


class Teachers:
    """The mean class probabilities of all teachers of a recipe.

    Args:
        recipe: the resolved recipe.
        session: the student, whose framework and device they use.
        class_names: names of the data set's K classes.
        peer: a network like the student that teaches as well, if any.

    Raises:
        CheckpointError: a file cannot be read or has no head, or its model needs other clips than the student.
        DataError: a teacher knows other classes.
    """

    def __init__(
        self, recipe: Recipe, session: Session, class_names: Sequence[str], peer: Session | None = None
    ) -> None:
        self._temperature = recipe.train.distillation.temperature
        self._teachers = [_open(source.fetch(), recipe, session, class_names) for source in teacher_sources(recipe)]
        if peer is not None:
            pixels = PixelMap(recipe.input, recipe.input, recipe.model.in_channels)
            self._teachers.append(_Teacher(peer, pixels, tuple(range(recipe.model.num_classes))))

    def probabilities(self, clips: np.ndarray) -> np.ndarray | None:
        """(N, K) float32 for the student's clips (N, T, C, H, W); None without teachers."""
        if not self._teachers:
            return None
        return np.mean([self._of(teacher, clips) for teacher in self._teachers], 0, dtype=np.float32)

    def _of(self, teacher: _Teacher, clips: np.ndarray) -> np.ndarray:
        relations = prediction_relations(teacher.session.spec)
        logits = teacher.session.predict(teacher.pixels(clips), relations)[:, list(teacher.order)]
        return softmax(logits / np.float32(self._temperature))


class PixelMap:
    """Converts clips that are normalized for one network into clips for another: a scale and an offset per channel.

    Args:
        source: the pixel format of the clips.
        target: the pixel format wanted, of the same modality.
        channels: channels of a segment.
    """

    def __init__(self, source: InputSpec, target: InputSpec, channels: int) -> None:
        self._same = _colors(source) == _colors(target)
        per_frame = FRAME_CHANNELS[source.modality]
        reverse = source.channel_order != target.channel_order and source.modality != "flow"
        order = np.arange(per_frame)[:: -1 if reverse else 1]
        mean, std = np.array(source.mean)[order], np.array(source.std)[order]
        factor = target.scale / source.scale
        frames = channels // per_frame
        self._order = np.concatenate([start * per_frame + order for start in range(frames)])
        self._scale = np.tile(std * factor / target.std, frames).astype(np.float32)[:, None, None]
        self._offset = np.tile((mean * factor - target.mean) / target.std, frames).astype(np.float32)[:, None, None]

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """(N, T, C, H, W) float32 in and out."""
        return clips if self._same else clips[:, :, self._order] * self._scale + self._offset


def _colors(pixels: InputSpec) -> InputSpec:
    """A pixel format without its sizes."""
    return replace(pixels, resize=1, crop=1)


def _open(path: Path, recipe: Recipe, session: Session, class_names: Sequence[str]) -> _Teacher:
    checkpoint, _ = import_weights(path)
    model, pixels = _checked(path, checkpoint, recipe)
    try:
        order = class_order(class_names, checkpoint.labels or class_names, "the data set", str(path))
    except DataError as error:
        raise DataError(f"{error}; remove it from {_KEY}") from None
    teacher = open_session(session.framework, model, session.execution, weights=checkpoint.tensors)
    classes = "its classes by name" if checkpoint.labels else "without class names: in the order of the data set's"
    print(f"teacher: {path}, {model.backbone}, {classes}")
    return _Teacher(teacher, PixelMap(recipe.input, pixels, model.in_channels), order)


def _checked(path: Path, checkpoint: Checkpoint, recipe: Recipe) -> tuple[ModelSpec, InputSpec]:
    """The model and pixel format of a teacher.

    Raises:
        CheckpointError: they do not fit the student's.
    """
    model, pixels, student = checkpoint.spec, checkpoint.input, recipe.model
    if model is None or pixels is None or not model.num_classes:
        raise CheckpointError(f"{path}: has no head, so it cannot teach; train one, or remove it from {_KEY}")
    if model.multi_label:
        raise CheckpointError(f"{path}: was trained for several labels per clip; remove it from {_KEY}")
    compared = {
        "model.num_classes": (model.num_classes, student.num_classes),
        "model.num_segments": (model.num_segments, student.num_segments),
        "model.in_channels": (model.in_channels, student.in_channels),
        "input.modality": (pixels.modality, recipe.input.modality),
        "input.crop": (pixels.crop, recipe.input.crop),
    }
    for key, (theirs, own) in compared.items():
        if theirs != own:
            raise CheckpointError(
                f"{path}: the teacher has {key} {theirs}, the recipe {own}; make them equal, or remove it from {_KEY}"
            )
    if pixels.modality == "rgbdiff" and _colors(pixels) != _colors(recipe.input):
        raise CheckpointError(f"{path}: the teacher normalizes differences otherwise; remove it from {_KEY}")
    return model, pixels


_KEY = "train.distillation.teachers"
