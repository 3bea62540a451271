"""What a preparation found: on the terminal, and in full in report.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

_SHOWN = 5  # names per heading on the terminal


@dataclass
class PreparationReport:
    """What was found and written.

    Attributes:
        dataset: name of the data set.
        output: where the lists are.
        labels: file of the class names.
        lists: list file to the number of its clips.
        classes: number of classes.
        missing: list name to annotated clips that are nowhere; left out.
        broken: clip to the reason why it cannot be used; left out.
        truncated: clips with clearly fewer frames than their header says; kept.
        archives: damaged or incomplete archives and what is wrong with them.
        warnings: what else to think about.
    """

    dataset: str
    output: str
    labels: str = "labels.txt"
    lists: dict[str, int] = field(default_factory=dict)
    classes: int = 0
    missing: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    truncated: dict[str, str] = field(default_factory=dict)
    archives: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lists = ", ".join(f"{clips} clips in {name}" for name, clips in self.lists.items())
        lines = [f"{self.dataset}: {self.classes} classes, {lists}"]
        for split, names in self.missing.items():
            lines += _shortened(f"{split}: {len(names)} clips are missing", names)
        lines += _shortened(f"{len(self.broken)} clips are broken, left out", self.broken.values())
        cut = (f"{name}: {frames}" for name, frames in self.truncated.items())
        lines += _shortened(f"{len(self.truncated)} clips are truncated, kept", cut)
        lines += _shortened(f"{len(self.archives)} archives are damaged or incomplete", self.archives.values())
        return "\n".join(lines + [f"warning: {text}" for text in self.warnings])


def _shortened(title: str, items: Iterable[str]) -> list[str]:
    """A heading and the first few items; nothing if there are none."""
    items = list(items)
    rest = [f"  ... {len(items) - _SHOWN} more are in report.json"] if len(items) > _SHOWN else []
    return [title, *(f"  {item}" for item in items[:_SHOWN]), *rest] if items else []
