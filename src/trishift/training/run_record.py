"""run.json: when, where and on what a run was trained, and the warnings about its data.

A resumed run adds a part. Everything that must not differ between a resumed and an unbroken run is elsewhere.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from trishift.backends import PACKAGES
from trishift.backends.session import Session
from trishift.errors import named
from trishift.io.atomic import write_text
from trishift.io.packages import installed
from trishift.recipe import Recipe, RecipeFile
from trishift.recipe.keys import differences
from trishift.version import __version__

RECORD = "run.json"


class Origin(NamedTuple):
    """How a part of a run was started.

    Attributes:
        command: words of the command, if one did.
        recipe: the recipe file or name that the command gave.
        base: the bases of this recipe, as it names them; empty if it has none.
        changes: how the run differs from the base, else from the recipe: (key, value there, value in the run), see
            `recipe.keys`.
    """

    command: Sequence[str] = ()
    recipe: str = ""
    base: str = ""
    changes: Sequence[tuple[str, str, str]] = ()

    @classmethod
    def of_recipe(cls, command: Sequence[str], name: str, file: RecipeFile, recipe: Recipe) -> Origin:
        """The origin of a command that named a recipe, and made this one of its file."""
        base, compared = file.base() or ("", file.resolve())
        return cls(command, name, base, differences(recipe, compared))


class RunRecord:
    """Writes the record of one part of a run, at its beginning and at its end.

    Args:
        folder: the run folder, which may hold the record of earlier parts.
        session: trains.
        data: `training_clips`, `validation_clips` and `class_counts`.
        warnings: about the data.
        origin: how it was started.
    """

    def __init__(
        self,
        folder: Path,
        session: Session,
        data: dict[str, Any],
        warnings: Sequence[str],
        origin: Origin = Origin(),  # noqa: B008 (immutable)
    ) -> None:
        self._path, self._session = folder / RECORD, session
        self._earlier: list[dict[str, Any]] = list(read_record(folder).get("parts", []))
        self._common = {"data": data, "warnings": [named(text) for text in warnings]}
        self._part: dict[str, Any] = {
            "command": [named(word) for word in origin.command],
            "recipe": named(origin.recipe),
            "base": named(origin.base),
            "changes": [[named(text) for text in change] for change in origin.changes],
            "version": __version__,
            "framework": session.framework,
            "framework_version": (installed(PACKAGES[session.framework]) or ("", "unknown"))[1],  # built from sources
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "device": session.execution.device,
            "precision": session.execution.precision,
            "processes": session.world_size,
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        self._began = time.monotonic()
        self._write()

    def finish(self, epochs: int, training: Mapping[str, float]) -> None:
        """Record the time, the memory, the epochs done so far, and `Trainer.training`."""
        self._part |= {
            "seconds": round(time.monotonic() - self._began, 1),
            "epochs": epochs,
            "training": dict(training),
            "peak_memory": self._session.peak_memory(),
        }
        self._write()

    def _write(self) -> None:
        content = {**self._common, "parts": [*self._earlier, self._part]}
        write_text(self._path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run; empty if an earlier version wrote none, or if it is damaged."""
    with suppress(OSError, ValueError):
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}
