"""New files that take the place of old ones together, or leave them as they were."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trishift.errors import CheckpointError

_OLD = ".old"


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A temporary folder whose entries move to `folder` when the block ends without an error.

    Whatever goes wrong leaves the entries of `folder` as they were, and nothing behind.

    Raises:
        CheckpointError: the operating system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
            stage = Path(temporary)
            yield stage
            _publish(stage, folder)
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing was changed"
        ) from error


def _publish(stage: Path, folder: Path) -> None:
    """Replace entries by rename; old ones wait in the stage, and return if a rename fails."""
    entries = [entry for entry in stage.iterdir() if entry.suffix != _OLD]
    replaced: list[Path] = []
    try:
        for entry in entries:
            target = folder / entry.name
            if target.exists():
                target.rename(_waiting(stage, target))
            replaced.append(target)
            entry.rename(target)
    except BaseException:
        for target in replaced:
            _restore(stage, target)
        raise


def _waiting(stage: Path, target: Path) -> Path:
    return stage / f"{target.name}{_OLD}"


def _restore(stage: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    if _waiting(stage, target).exists():
        _waiting(stage, target).rename(target)
