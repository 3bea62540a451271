"""Conversion of any supported file into any other, with a report and an optional verification."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trishift.backends import FRAMEWORKS
from trishift.backends.contract import Device
from trishift.checkpoints.canonical import CALIBRATION, Checkpoint
from trishift.checkpoints.files import sha256, weight_path
from trishift.checkpoints.reading import import_weights
from trishift.checkpoints.report import ConversionReport
from trishift.checkpoints.verification import TOLERANCE, Difference, verify
from trishift.checkpoints.writing import framework_of, write_dialect, write_native
from trishift.errors import CheckpointError, FrameworkError
from trishift.io.wording import nearest_path, one_of
from trishift.model.spec import HeadSpec
from trishift.model.tensors import tensor_shapes


@dataclass(frozen=True)
class Conversion:
    """Result of a conversion.

    Attributes:
        checkpoint: the weights in canonical form, with their origin.
        report: outcome for every tensor.
        differences: one per verified framework.
    """

    checkpoint: Checkpoint
    report: ConversionReport
    differences: tuple[Difference, ...] = ()

    def __str__(self) -> str:
        return "\n".join([str(self.report), *map(str, self.differences)])


def convert(
    source: str | Path,
    destination: str | Path,
    *,
    framework: str | None = None,
    dialect: str | None = None,
    to_dialect: str | None = None,
    backbone: str | None = None,
    allow_partial: bool = False,
    verify: bool = False,
    tolerance: float = TOLERANCE,
    device: Device | None = "cpu",
    force: bool = False,
    **options: Any,
) -> Conversion:
    """Convert a weight file. The suffix of `destination` chooses its format; `.safetensors` runs in all frameworks.

    Args:
        source: a file of any supported family.
        destination: new file.
        framework: target framework; must agree with the suffix.
        dialect: family of the source, to override recognition.
        to_dialect: family of the result, for an original codebase; default: Trishift's own network.
        backbone: refuse a source with any other backbone.
        allow_partial: skip tensors that do not fit, and an incomplete head; the backbone must be complete.
        verify: run source and result on a fixed random clip and compare.
        tolerance: largest accepted relative difference.
        device: where `verify` runs them; None: on the best device that each framework finds.
        force: replace an existing destination.
        options: import options, see `import_weights`.

    Raises:
        CheckpointError: see `import_weights`; the destination exists, the backbone is incomplete, or results differ.
        FrameworkError: a framework needed for verification is missing.

    Example:
        >>> import trishift
        >>> conversion = trishift.convert("model.safetensors", "model.pth", framework="pytorch")
        >>> conversion.checkpoint.spec.num_classes
        9
        >>> trishift.load("model.pth").labels[0]
        'No gesture'
    """
    source, destination = weight_path(source), _followed(Path(destination))
    check_destination(destination, framework, force)
    if not source.exists():
        raise CheckpointError(f"{source}: no such file{nearest_path(source)}")
    if destination.exists() and source.samefile(destination):
        raise CheckpointError(f"{destination}: is the source itself; choose another name")
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(sha256, source)
        checkpoint, report = import_weights(source, dialect=dialect, allow_partial=allow_partial, **options)
    checkpoint = _readable(checkpoint, report)
    found = checkpoint.spec.backbone if checkpoint.spec else "no known model"
    if backbone not in (None, found):
        raise CheckpointError(f"{source}: holds {found}, not {backbone}")
    origin = {"file": source.name, "sha256": hashed.result(), **checkpoint.meta.get("origin", {})}
    checkpoint = replace(checkpoint, meta={**checkpoint.meta, "origin": origin})
    if to_dialect:
        if CALIBRATION in checkpoint.meta:
            report.notes.append(f"the calibration is left out: files of {to_dialect} have no place for it")
        write_dialect(destination, checkpoint, to_dialect)
    else:
        write_native(destination, checkpoint)
    if not verify:
        return Conversion(checkpoint, report)
    chosen = framework or framework_of(destination)
    frameworks = (chosen,) if chosen else FRAMEWORKS
    return _proven(Conversion(checkpoint, report), destination, to_dialect, frameworks, tolerance, device)


def _followed(path: Path) -> Path:
    """The file that a link leads to, so that the link stays."""
    return path.resolve() if path.is_symlink() else path


def _readable(checkpoint: Checkpoint, report: ConversionReport) -> Checkpoint:
    """Return what a partial import found as a complete model, without its head if that has gaps.

    Raises:
        CheckpointError: the backbone has gaps, and no command could read the result.
    """
    spec = checkpoint.spec
    if spec is None or all(name in checkpoint.tensors for name in tensor_shapes(spec)):
        return checkpoint
    backbone = replace(spec, num_classes=0, head=HeadSpec())
    gaps = [name for name in tensor_shapes(backbone) if name not in checkpoint.tensors]
    if gaps:
        raise CheckpointError(
            f"{report.source}: its {spec.backbone} lacks {len(gaps)} of {len(tensor_shapes(backbone))} tensors, "
            f"for example {gaps[0]}; nothing was written, because a model with gaps cannot be run"
        )
    report.notes.append("the head is incomplete and left out: only the backbone is written")
    if CALIBRATION in checkpoint.meta:
        report.notes.append("the calibration is left out with the head")
    tensors = {name: checkpoint.tensors[name] for name in tensor_shapes(backbone)}
    return replace(checkpoint.without_calibration(), tensors=tensors, spec=backbone, labels=None)


def check_destination(destination: Path, framework: str | None = None, force: bool = False) -> None:
    """Refuse a destination before any work.

    Raises:
        CheckpointError: its suffix is unknown or that of another framework, it exists, or its folder does not.
        FrameworkError: the framework is unknown.
    """
    if framework is not None and framework not in FRAMEWORKS:
        raise FrameworkError(f"framework {framework!r} is unknown{one_of(framework, FRAMEWORKS)}")
    implied = framework_of(destination)
    if implied is not None and framework not in (None, implied):
        raise CheckpointError(f"{destination}: has the suffix of a {implied} file, but framework is {framework}")
    if destination.exists():
        if destination.is_dir():
            raise CheckpointError(f"{destination}: is a folder; choose another name")
        if not force:
            raise CheckpointError(f"{destination}: already exists; --force replaces it")
    if not destination.parent.is_dir():
        raise CheckpointError(f"{destination}: its folder does not exist{nearest_path(destination.parent)}")


def _proven(
    conversion: Conversion,
    destination: Path,
    dialect: str | None,
    frameworks: Sequence[str],
    tolerance: float,
    device: Device | None,
) -> Conversion:
    """Read the result back and run it; a result that differs stays on disk for inspection."""
    result, _ = import_weights(destination, dialect=dialect, fallback=conversion.checkpoint.spec)
    differences = tuple(verify(conversion.checkpoint, result, frameworks, device))
    worst = max(differences, key=lambda difference: difference.relative)
    if not worst.relative <= tolerance:
        raise CheckpointError(f"{destination}: differs from the source by more than {tolerance:g}: {worst}")
    return replace(conversion, differences=differences)
