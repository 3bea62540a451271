"""Open exported models by path."""

from __future__ import annotations

from pathlib import Path

from trishift.backends.contract import Execution
from trishift.errors import CheckpointError
from trishift.export.description import FILE, Description, check_files, read_description
from trishift.export.formats import FORMATS
from trishift.export.runtimes import open_program
from trishift.export.session import RuntimeSession
from trishift.io.wording import nearest_path


def is_exported(path: Path) -> bool:
    """Whether a path is an exported model rather than weights, judged by suffix or by the description in a folder."""
    return path.suffix in {known.suffix for known in FORMATS.values()} or (path / FILE).is_file()


def describe(path: Path) -> Description:
    """The description of an exported file or folder.

    Raises:
        CheckpointError: the file or its description is missing or damaged.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such file{nearest_path(path)}")
    return read_description(path)


def open_exported(
    path: Path, runtime: str | None = None, execution: Execution | None = None
) -> tuple[RuntimeSession, Description]:
    """Open an exported file or folder.

    Args:
        path: output of `export_checkpoint`.
        runtime: runtime to use; None for the format's default.
        execution: device, and precision if the runtime offers a choice.

    Raises:
        CheckpointError: the file or its description is missing, truncated or damaged.
        FrameworkError: the runtime is not installed, does not open the format, or lacks the device or precision.
    """
    description = describe(path)
    check_files(path, description)
    chosen = description.format.choose_runtime(runtime)
    program = open_program(chosen, path, description.program, execution or Execution())
    return RuntimeSession(program, description.program, chosen, path.name), description
