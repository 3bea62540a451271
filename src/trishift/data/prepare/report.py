"""What a preparation found: on the terminal, and in full in report.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

SHORT = 8  # frames: clips with fewer are listed, because their frames repeat in a network's segments
_SHOWN = 5  # names per heading on the terminal


@dataclass
class PreparationReport:
    """What was found and written. Clips go by their names in the data set, or their paths below the folder.

    Attributes:
        dataset: name of the data set; `folder` or `flow`.
        output: where the lists are.
        labels: file of the class names; empty where none is written.
        lists: list file to the number of its clips.
        classes: number of classes.
        split: of a folder: class name to [training clips, validation clips].
        groups: of a folder: groups that the clips fall into (as many as clips without grouping).
        missing: list name to annotated clips that are nowhere; left out.
        broken: clip to the reason why it cannot be used; left out.
        duplicates: clip to the earlier clip with the same content; left out.
        truncated: clips with clearly fewer frames than their header says; kept.
        short: clips of fewer than 8 frames, and their frames; kept.
        archives: damaged or incomplete archives and what is wrong with them.
        warnings: what else to think about.
    """

    dataset: str
    output: str
    labels: str = "labels.txt"
    lists: dict[str, int] = field(default_factory=dict)
    classes: int = 0
    split: dict[str, list[int]] = field(default_factory=dict)
    groups: int = 0
    missing: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)
    truncated: dict[str, str] = field(default_factory=dict)
    short: dict[str, int] = field(default_factory=dict)
    archives: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        classes = [f"{self.classes} classes" + (f" in {self.groups} groups" if self.groups else "")]
        lists = [f"{clips} clips in {name}" for name, clips in self.lists.items()]
        lines = [f"{self.dataset}: {', '.join((classes if self.classes else []) + lists)}"]
        lines += [f"  {name}: {train} + {val}" for name, (train, val) in self.split.items()]
        for split, names in self.missing.items():
            lines += _shortened(f"{split}: {len(names)} clips are missing", names)
        lines += _shortened(f"{len(self.broken)} clips are broken, left out", self.broken.values())
        same = (f"{clip} is the same as {first}" for clip, first in self.duplicates.items())
        lines += _shortened(f"{len(self.duplicates)} clips are duplicates, left out", same)
        cut = (f"{name}: {frames}" for name, frames in self.truncated.items())
        lines += _shortened(f"{len(self.truncated)} clips are truncated, kept", cut)
        shortest = (f"{name}: {self.short[name]}" for name in sorted(self.short, key=lambda name: self.short[name]))
        lines += _shortened(f"{len(self.short)} clips have fewer than {SHORT} frames, which repeat; kept", shortest)
        lines += _shortened(f"{len(self.archives)} archives are damaged or incomplete", self.archives.values())
        return "\n".join(lines + [f"warning: {text}" for text in self.warnings])


def _shortened(title: str, items: Iterable[str]) -> list[str]:
    """A heading and the first few items; nothing if there are none."""
    items = list(items)
    rest = [f"  ... {len(items) - _SHOWN} more are in report.json"] if len(items) > _SHOWN else []
    return [title, *(f"  {item}" for item in items[:_SHOWN]), *rest] if items else []
