"""Recognition of a file's family and backbone: the pair whose names fit best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from trishift.checkpoints.containers import PlainNames, plain_names, without_shared_part
from trishift.checkpoints.dialects import DIALECTS, dialect_named
from trishift.checkpoints.dialects.base import Dialect, Names, Shape
from trishift.checkpoints.formats.stored import WeightFile
from trishift.errors import CheckpointError
from trishift.model.backbones import BACKBONES
from trishift.model.spec import ModelSpec
from trishift.model.tensors import stem, tensor_table

_ENOUGH = 0.5  # share of a backbone's tensors a file must have to be recognized as it


@dataclass(frozen=True)
class Recognition:
    """A candidate family and backbone for a file.

    Attributes:
        names: simplified to raw name.
        plain: names without wrappers, see `plain_names`.
        found: number of the backbone's tensors in the file, out of `total`.
    """

    dialect: Dialect
    backbone: str
    names: Mapping[str, str]
    plain: PlainNames
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
    names: PlainNames | None = plain_names(file.tensors)
    best = None
    while names is not None:
        candidates = DIALECTS.values() if dialect is None else [dialect_named(dialect)]
        plain = names.plain.values()
        fits = [_fit(names, known) for known in candidates if dialect or known.claims(plain, file.extras)]
        best = max(fits, key=lambda fit: fit.score, default=best)
        if best is not None and best.found >= _ENOUGH * best.total:
            return best
        names = without_shared_part(names)
    raise CheckpointError(f"{file.path}: {_refusal(file, dialect, best)}")


def _refusal(file: WeightFile, dialect: str | None, best: Recognition | None) -> str:
    if dialect is None or best is None:
        example = f"{len(file.tensors)} tensors such as {next(iter(file.tensors), 'none')}"
        return f"weights of an unknown family ({example}); known: {', '.join(DIALECTS)}"
    return f"not of dialect {dialect!r}: only {best.found} of {best.total} tensors of {best.backbone}"


def _fit(plain: PlainNames, dialect: Dialect) -> Recognition:
    names: dict[str, str] = {}
    for raw, name in plain.plain.items():
        simple = dialect.simplify(name)
        names[raw if simple in names else simple] = raw  # of two equal ones, the second is unexpected
    fits = []
    for backbone in dialect.backbones:
        spellings = _spellings(dialect.name, backbone)
        found = sum(any(name in names for name in alternatives) for alternatives in spellings)
        fits.append(Recognition(dialect, backbone, names, plain, found, len(spellings)))
    return max(fits, key=lambda fit: fit.score)


@cache
def _spellings(dialect: str, backbone: str) -> tuple[tuple[str, ...], ...]:
    spec = ModelSpec(backbone)
    return tuple(DIALECTS[dialect].spellings(tensor, spec) for tensor in tensor_table(spec))


def visible_names(file: WeightFile, recognition: Recognition) -> Names:
    """Return a file's names and shapes in the form a dialect's `describe` expects."""
    shapes: dict[str, Shape] = {}
    for name, raw in recognition.names.items():
        shape = file.tensors[raw].shape
        transposed = recognition.dialect.transposes_linear and len(shape) == 2
        shapes[name] = shape[::-1] if transposed else shape
    return Names(recognition.plain.plain.values(), shapes)


def model_from_shapes(path: Path, recognition: Recognition, names: Names) -> ModelSpec:
    """Infer from shapes alone: channels and width from the stem, classes from the head."""
    spec = ModelSpec(recognition.backbone)
    shape = _shape(recognition.dialect.spellings(stem(spec), spec), names)
    if shape is not None:
        if len(shape) != 4 or min(shape) < 1:
            raise CheckpointError(f"{path}: the first convolution has shape {shape}; the file is damaged")
        has_width = "width" in BACKBONES[recognition.backbone].options
        width = spec.width * shape[0] // stem(spec).shape[0] if has_width else spec.width
        spec = replace(spec, in_channels=shape[1], width=width)
    head = next(info for info in tensor_table(replace(spec, num_classes=1)) if info.group == "head_weight")
    shape = _shape(recognition.dialect.spellings(head, spec), names)
    return replace(spec, num_classes=shape[0] if shape else 0)


def _shape(spellings: tuple[str, ...], names: Names) -> Shape | None:
    return next((names.shapes[name] for name in spellings if name in names.shapes), None)
