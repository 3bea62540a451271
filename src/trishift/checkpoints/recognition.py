"""Recognition of a file's family and backbone: the pair whose names fit best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from trishift.checkpoints.dialects import DIALECTS, dialect_named
from trishift.checkpoints.dialects.base import Dialect, Names, Shape
from trishift.checkpoints.formats.stored import WeightFile
from trishift.errors import CheckpointError
from trishift.model.architectures import RESNETS
from trishift.model.spec import ModelSpec
from trishift.model.tensors import stem, tensor_table

_ENOUGH = 0.5  # share of a backbone's tensors a file must have to be recognized as it


@dataclass(frozen=True)
class Recognition:
    """A candidate family and backbone for a file.

    Attributes:
        names: simplified to raw name.
        found: number of the backbone's tensors in the file, out of `total`.
    """

    dialect: Dialect
    backbone: str
    names: Mapping[str, str]
    found: int
    total: int

    @property
    def score(self) -> float:
        """Tensors found minus tensors missing; higher is better."""
        return 2 * self.found - self.total


def recognize(file: WeightFile, dialect: str | None = None) -> Recognition:
    """Recognize the family and backbone of a file.

    Raises:
        CheckpointError: no family fits, or the requested one does not.
    """
    if dialect is not None:
        best = _fit(file, dialect_named(dialect))
        if best.found < _ENOUGH * best.total:
            raise CheckpointError(
                f"{file.path}: not of dialect {dialect!r}: only {best.found} of {best.total} tensors of {best.backbone}"
            )
        return best
    fits = [_fit(file, candidate) for candidate in DIALECTS.values() if candidate.claims(file.tensors, file.extras)]
    fits = [fit for fit in fits if fit.found >= _ENOUGH * fit.total]
    if not fits:
        raise CheckpointError(
            f"{file.path}: weights of an unknown family ({_examples(file)}); known: {', '.join(DIALECTS)}"
        )
    return max(fits, key=lambda fit: fit.score)


def _fit(file: WeightFile, dialect: Dialect) -> Recognition:
    names = {dialect.simplify(raw): raw for raw in file.tensors}
    fits = []
    for backbone in dialect.backbones:
        spellings = _spellings(dialect.name, backbone)
        found = sum(any(name in names for name in alternatives) for alternatives in spellings)
        fits.append(Recognition(dialect, backbone, names, found, len(spellings)))
    return max(fits, key=lambda fit: fit.score)


@cache
def _spellings(dialect: str, backbone: str) -> tuple[tuple[str, ...], ...]:
    spec = ModelSpec(backbone=backbone)  # type: ignore[arg-type]
    return tuple(DIALECTS[dialect].spellings(tensor, spec) for tensor in tensor_table(spec))


def _examples(file: WeightFile) -> str:
    return f"{len(file.tensors)} tensors such as {next(iter(file.tensors), 'none')}"


def visible_names(file: WeightFile, recognition: Recognition) -> Names:
    """Return a file's names and shapes in the form a dialect's `describe` expects."""
    shapes: dict[str, Shape] = {}
    for name, raw in recognition.names.items():
        shape = file.tensors[raw].shape
        transposed = recognition.dialect.transposes_linear and len(shape) == 2
        shapes[name] = shape[::-1] if transposed else shape
    return Names(file.tensors.keys(), shapes)


def model_from_shapes(path: Path, recognition: Recognition, names: Names) -> ModelSpec:
    """Infer from shapes alone: channels and width from the stem, classes from the head."""
    spec = ModelSpec(backbone=recognition.backbone)  # type: ignore[arg-type]
    shape = _shape(recognition.dialect.spellings(stem(spec), spec), names)
    if shape is not None:
        if len(shape) != 4 or min(shape) < 1:
            raise CheckpointError(f"{path}: the first convolution has shape {shape}; the file is damaged")
        width = shape[0] if recognition.backbone in RESNETS else spec.width
        spec = replace(spec, in_channels=shape[1], width=width)
    head = next(info for info in tensor_table(replace(spec, num_classes=1)) if info.group == "head_weight")
    shape = _shape(recognition.dialect.spellings(head, spec), names)
    return replace(spec, num_classes=shape[0] if shape else 0)


def _shape(spellings: tuple[str, ...], names: Names) -> Shape | None:
    return next((names.shapes[name] for name in spellings if name in names.shapes), None)
