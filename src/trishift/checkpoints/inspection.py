"""Inspection of weight files: format, family, model, and options that are still needed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from trishift.checkpoints.canonical import TRAINING_PREFIX
from trishift.checkpoints.files import open_weights, sha256, weight_path
from trishift.checkpoints.formats.stored import WeightFile
from trishift.checkpoints.reading import import_weights
from trishift.checkpoints.recognition import recognize
from trishift.checkpoints.report import ConversionReport
from trishift.errors import CheckpointError
from trishift.io.wording import counted, plain, shown_first
from trishift.model.sizes import size_text
from trishift.model.spec import InputSpec

_LONGEST = 100  # characters of a container's entry that are printed


@dataclass(frozen=True)
class Inspection:
    """Facts about a weight file.

    Attributes:
        format: file format.
        size: bytes on disk.
        sha256: of the file.
        tensors: number of tensors, without the training state.
        numbers: total number of elements.
        dtypes: data type to number of tensors.
        extras: other plain entries of the container.
        report: how its tensors match the recognized model; None if recognition failed.
        problem: why it was not recognized, or which option it needs.
        details: lines about labels and origin.
        labels: class names, if the file has any.
        meta: the checkpoint's other entries, such as its recipe and metrics.
    """

    path: Path
    format: str
    size: int
    sha256: str
    tensors: int
    numbers: int
    dtypes: dict[str, int]
    extras: dict[str, Any]
    report: ConversionReport | None
    problem: str | None
    details: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """All facts as plain JSON values."""
        facts = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "details"}
        report = None if self.report is None else asdict(self.report)
        return {**facts, "path": str(self.path), "report": report}

    def __str__(self) -> str:
        types = ", ".join(f"{count} {dtype}" for dtype, count in self.dtypes.items())
        lines = [
            f"{self.path}: {self.format}, {self.size:,} bytes, sha256 {self.sha256}",
            f"  {counted(self.tensors, 'tensor')} of {self.numbers:,} numbers ({types})",
            *(f"  {key}: {_short(value)}" for key, value in self.extras.items()),
            *(f"  {line}" for line in self.details),
        ]
        return "\n".join([*lines, str(self.report) if self.report else f"  {self.problem}"])


def inspect_weights(path: str | Path, **options: Any) -> Inspection:
    """Inspect a weight file; `options` as for `import_weights`.

    Raises:
        CheckpointError: the file is unreadable. A readable file that is not recognized is still described.

    Example:
        >>> from trishift.checkpoints.inspection import inspect_weights
        >>> inspection = inspect_weights("model.safetensors")
        >>> inspection.problem is None
        True
        >>> inspection.dtypes
        {'float32': 62}
    """
    path = weight_path(path)
    file = open_weights(path)
    tensors = {name: tensor for name, tensor in file.tensors.items() if not name.startswith(TRAINING_PREFIX)}
    checkpoint, report, problem, details = None, None, None, []
    try:
        checkpoint, report = import_weights(path, allow_partial=True, **options)
        details += _input_line(checkpoint.input) + label_line(checkpoint.labels)
        details += [f"{key}: {_short(value)}" for key, value in checkpoint.meta.items() if value is not None]
        if len(tensors) < len(file.tensors):
            details.append(f"training state of {len(file.tensors) - len(tensors)} tensors: the run can be resumed")
    except CheckpointError as error:
        problem = f"{_family(file)}{error}"
    files = [file.path] if file.path.is_file() else [entry for entry in file.path.iterdir() if entry.is_file()]
    return Inspection(
        path=file.path,
        format=file.format,
        size=sum(entry.stat().st_size for entry in files),
        sha256=sha256(path),
        tensors=len(tensors),
        numbers=sum(math.prod(tensor.shape) for tensor in tensors.values()),
        dtypes=dict(Counter(tensor.dtype for tensor in tensors.values())),
        extras={key: value for key, value in file.extras.items() if len(str(value)) <= _LONGEST},
        report=report,
        problem=problem,
        details=tuple(details),
        labels=checkpoint.labels if checkpoint else None,
        meta=checkpoint.meta if checkpoint else {},
    )


def label_line(labels: Sequence[str] | None) -> list[str]:
    """A line with the first class names, if there are any."""
    if not labels:
        return []
    return [f"labels: {shown_first(labels, 3)}"]


def _input_line(pixels: InputSpec | None) -> list[str]:
    """A line with the pixels that the model expects, if they are known."""
    if pixels is None:
        return []
    sizes = f"{size_text(pixels.crop_size)} pixels, after resizing to cover {size_text(pixels.resize_size)}"
    return [f"input: {pixels.modality} frames of {sizes}"]


def _family(file: WeightFile) -> str:
    """Return the family of a file with an ambiguous model, as the start of a line."""
    try:
        recognition = recognize(file)
    except CheckpointError:
        return ""
    return f"{recognition.dialect.title}, {recognition.backbone}; "


def _short(value: Any) -> str:
    text = plain(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ... (--json shows all)"
