"""Write a checkpoint in a deployment format and verify the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trishift.backends import check_framework, open_session
from trishift.backends.contract import Execution
from trishift.backends.program import ProgramSpec
from trishift.backends.session import Session
from trishift.checkpoints.canonical import DESCRIPTION_KEY, Checkpoint
from trishift.errors import CheckpointError, FrameworkError, TrishiftError
from trishift.export.description import Description, encode, fingerprints, write_description
from trishift.export.formats import FORMATS, Format
from trishift.export.planning import OPSET, ExportOptions, plan
from trishift.export.proof import Trial, agreement, differences, lossy_trial, make_trials
from trishift.export.quantization import quantize
from trishift.export.runtimes import check_packages, open_program, runtime_version
from trishift.export.session import RuntimeSession
from trishift.io.atomic import staged_together
from trishift.model.spec import InputSpec
from trishift.version import __version__


@dataclass(frozen=True)
class Exported:
    """The path of an export and its description, which includes the difference from the checkpoint."""

    path: Path
    description: Description

    def __str__(self) -> str:
        measured = self.description.measured
        worst = ", ".join(f"{value:.2g} (batch {batch})" for batch, value in measured["relative"].items())
        same = ""
        if "same_class" in measured:
            same = f"; same class for {measured['same_class']:.1%} of {measured['clips']} clips not calibrated on"
        against = f"{measured['runtime']} against {measured['reference']}"
        return f"{self.description.summary()}\n{against}: largest relative difference {worst}{same}"


def export_checkpoint(checkpoint: Checkpoint, options: ExportOptions, folder: Path, name: str) -> Exported:
    """Write `folder/name.<suffix>` and its description, after verifying the reopened program against the checkpoint.

    The program takes frames of the checkpoint's crop size. An existing export is replaced only on success.

    Raises:
        RecipeError, FrameworkError: model, format and options are incompatible, or a package is missing.
        CheckpointError: the program differs from the checkpoint.
        OutputError: it cannot be written.
    """
    check_name(name)
    target = FORMATS[options.format]
    framework = target.choose_writer(options.framework)
    program = plan(checkpoint, target, framework, options)
    check_framework(framework)
    check_packages(target.choose_runtime(options.runtime), *target.packages)
    session = _session(checkpoint, framework)
    assert checkpoint.input is not None
    trials = _trials(session, program, checkpoint.input, options)
    description = Description(
        target,
        replace(checkpoint, tensors={}),
        program,
        {framework: runtime_version(framework), "trishift": __version__},
    )
    with staged_together(folder, name) as stage:
        path = stage / f"{name}{target.suffix}"
        description = _write(session, path, description, options)
        measured = _measure(path, description, framework, trials, options)
        description = replace(description, measured=measured, files=fingerprints(path))
        write_description(description, path)
    session.close()
    return Exported(folder / path.name, description)


def check_name(name: str) -> None:
    """Refuse names of exports that are not plain file names.

    Raises:
        CheckpointError: the name is empty or contains a folder.
    """
    if not name or Path(name).name != name:
        raise CheckpointError(f"{name!r}: must be a plain file name; give the folder separately")


def _session(checkpoint: Checkpoint, framework: str) -> Session:
    assert checkpoint.spec is not None
    return open_session(framework, checkpoint.spec, weights=checkpoint.tensors)


def _write(session: Session, path: Path, description: Description, options: ExportOptions) -> Description:
    """Write the program; returns the description, completed with the versions known after writing."""
    target, program = description.format, description.program
    if target.lossy:
        return _write_quantized(session, path, description, options)
    _write_program(session, target, program, path, {DESCRIPTION_KEY: encode(description)}, max(options.opset, OPSET))
    if target.name != "onnx":
        return description
    from trishift.export.onnx_opsets import lower_opset, opset_of

    if options.opset < opset_of(path):
        lower_opset(path, options.opset)
    return _annotated(path, description)


def _write_program(
    session: Session,
    target: Format,
    program: ProgramSpec,
    path: Path,
    texts: dict[str, str],
    opset: int,
) -> None:
    """Have the framework write the program.

    Raises:
        FrameworkError: the framework cannot write it, for instance because of an operator or the opset.
    """
    framework = session.framework
    try:
        session.write_program(program, target.name, path, texts, opset)
    except TrishiftError:
        raise
    except Exception as error:  # every exporter raises its own errors
        if isinstance(error, OSError) and error.errno is not None:  # such as a full disk
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        remedy = "" if framework == target.writers[0] else f"; use framework {target.writers[0]}"
        raise FrameworkError(f"{framework} cannot write this model as {target.title}: {reason}{remedy}") from error


def _annotated(path: Path, description: Description) -> Description:
    """Add the opset to the description, and embed the description in the file."""
    from trishift.export.onnx_files import annotate, opset_of

    described = replace(description, written_by={**description.written_by, "opset": opset_of(path)})
    annotate(path, description.program, encode(described))
    return described


def _write_quantized(session: Session, path: Path, description: Description, options: ExportOptions) -> Description:
    assert options.calibration is not None
    path.mkdir()
    onnx_file = path / "model.onnx"
    _write_program(session, FORMATS["onnx"], description.program, onnx_file, {}, options.opset)
    quantize(onnx_file, path, options.calibration)
    onnx_file.unlink()
    return replace(description, written_by={**description.written_by, "nncf": runtime_version("nncf")})


def _trials(session: Session, program: ProgramSpec, pixels: InputSpec, options: ExportOptions) -> list[Trial]:
    if options.judges is not None:
        return [lossy_trial(session, options.judges)]
    return make_trials(session, program, pixels)


def _measure(
    path: Path, description: Description, framework: str, trials: list[Trial], options: ExportOptions
) -> dict[str, Any]:
    """Reopen the program and compare it with the checkpoint.

    Raises:
        CheckpointError: they differ by more than the tolerance, unless the format is lossy.
    """
    target, program = description.format, description.program
    runtime = target.choose_runtime(options.runtime)
    execution, tolerance = Execution(device=options.device), options.tolerance
    opened = RuntimeSession(open_program(runtime, path, program, execution), program, runtime, path.name)
    relative = differences(opened, program, trials)
    measured = {
        "reference": f"{framework} {runtime_version(framework)}",
        "runtime": f"{runtime} {runtime_version(runtime)}",
        "relative": relative,
    }
    if target.lossy:
        return {**measured, "same_class": agreement(opened, trials[0]), "clips": len(trials[0].clips)}
    worst = max(relative.values())
    if not worst <= tolerance:
        raise CheckpointError(
            f"the exported {target.title} program differs from the checkpoint by {worst:.3g} of the largest score, "
            f"more than {tolerance:g}; nothing was written"
        )
    return {**measured, "tolerance": tolerance}
