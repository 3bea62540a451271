"""Programs of checkpoints: a runtime such as ONNX Runtime opens weights as if they had been exported.

The program is made on first use, verified like every export, and kept in `programs/KEY/` below the home folder (see
`zoo.home`). KEY stands for all that determines it: weights, model, pixels, format, runtime and versions. The programs
that were not used for longest are removed beyond `BOUND` bytes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np

from trishift.backends.contract import Execution
from trishift.checkpoints.canonical import Checkpoint, encode_description
from trishift.errors import CheckpointError, FrameworkError
from trishift.export.description import Description, description_path
from trishift.export.formats import FORMATS, Format
from trishift.export.opening import open_exported
from trishift.export.planning import ExportOptions
from trishift.export.runtimes import check_packages
from trishift.export.session import RuntimeSession
from trishift.export.writing import export_checkpoint
from trishift.zoo.home import claimed, home

_LOG = logging.getLogger(__name__)
_NAME = "program"
_PACKAGES = {"pytorch": "torch", "paddle": "paddlepaddle"}  # packages whose name is not that of the runtime
BOUND = 4 * 2**30  # bytes of all kept programs


def open_program_of(
    checkpoint: Checkpoint,
    runtime: str,
    framework: str,
    execution: Execution | None = None,
    say: Callable[[str], object] = _LOG.info,
) -> tuple[RuntimeSession, Description]:
    """Open the program of a checkpoint in a runtime; it is made if it is not kept or damaged.

    Args:
        checkpoint: weights with a head, and the pixels they expect.
        runtime: `onnxruntime`, `openvino`, `mindspore`, `paddle` or `pytorch`.
        framework: writes the program if it can; else the default of its format.
        execution: device, and precision if the runtime offers a choice.
        say: called with one line if a program is made.

    Raises:
        CheckpointError: the program differs from the checkpoint.
        FrameworkError: a package is missing, or the runtime lacks the device or precision.
        HomeError: the home folder cannot be written.
        RecipeError: the model cannot be exported.
    """
    target = format_of(runtime)
    writer = framework if framework in target.writers else target.writers[0]
    check_packages(runtime)
    folder = home() / "programs" / key(checkpoint, target, runtime, writer)
    path = folder / f"{_NAME}{target.suffix}"
    with claimed(folder):
        opened = _kept(path, runtime, execution)
        if opened is None:
            options = ExportOptions(target.name, writer, runtime=runtime)
            made = export_checkpoint(checkpoint, options, folder, _NAME).description
            worst = max(made.measured["relative"].values())
            say(f"program for {runtime}: made by {writer}, largest relative difference {worst:.2g}; kept in {folder}")
            opened = open_exported(path, runtime, execution)
    with suppress(OSError):
        os.utime(folder)
    _remove_unused(folder)
    return opened


def format_of(runtime: str) -> Format:
    """The format whose programs a runtime opens.

    Raises:
        FrameworkError: the runtime is unknown.
    """
    for entry in FORMATS.values():
        if runtime in entry.runtimes and not entry.lossy:
            return entry
    known = sorted({name for entry in FORMATS.values() for name in entry.runtimes})
    raise FrameworkError(f"runtime {runtime!r} is unknown; one of {', '.join(known)}")


def key(checkpoint: Checkpoint, target: Format, runtime: str, writer: str) -> str:
    """Name of a program: a hash of all that determines it."""
    digest = hashlib.sha256(encode_description(checkpoint).encode())
    for name, tensor in sorted(checkpoint.tensors.items()):
        digest.update(f"\0{name} {tensor.shape} {tensor.dtype}\0".encode())
        digest.update(np.ascontiguousarray(tensor).data)
    packages = sorted({"trishift", *(_PACKAGES.get(name, name) for name in (runtime, writer, *target.packages))})
    versions = [f"{name} {version(name)}" for name in packages]
    digest.update("\n".join([target.name, runtime, writer, *versions]).encode())
    return digest.hexdigest()[:32]


def _kept(path: Path, runtime: str, execution: Execution | None) -> tuple[RuntimeSession, Description] | None:
    """Open a kept program; None if there is none or it is damaged, which is logged."""
    if not description_path(path).is_file():
        return None
    try:
        return open_exported(path, runtime, execution)
    except CheckpointError as error:
        _LOG.warning("%s; made anew", error)
        return None


def _remove_unused(current: Path) -> None:
    """Remove the programs that were not used for longest until all take `BOUND` bytes; the current one stays."""
    used: list[tuple[float, Path]] = []
    for folder in current.parent.iterdir():
        with suppress(OSError):
            used.append((folder.stat().st_mtime, folder))
    total = 0
    for _, folder in sorted(used, reverse=True):
        total += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        if total > BOUND and folder != current:
            shutil.rmtree(folder, ignore_errors=True)
