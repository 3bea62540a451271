"""Report of a preparation: a summary on the terminal, everything in report.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from trishift.data.prepare.files import readable
from trishift.io.wording import counted

SHORT = 8  # frames: shorter clips are listed, because their frames are sampled repeatedly
_CLIPS = ("clip is", "clips are")
_SHOWN = 5  # names per heading on the terminal


@dataclass
class PreparationReport:
    """Findings and results. Clips are identified by their names in the data set or their paths below the folder.

    Attributes:
        dataset: name of the data set; `folder`, `list`, `intervals` or `flow`.
        output: output folder.
        labels: label file; empty if none is written.
        lists: list file to its number of clips.
        classes: class names in index order.
        split: of your own clips: class name to the number of clips in train, val and test, as far as written.
        groups: of your own clips: number of groups (by default one per video).
        missing: list name to annotated clips that were not found.
        skipped: of your own clips: reason to the skipped files and folders.
        broken: skipped clip to the reason.
        duplicates: skipped clip to the earlier clip with the same content.
        truncated: clip with clearly fewer frames than its header announces to both counts; kept.
        short: clip of fewer than 8 frames to its frame count; kept.
        archives: damaged or incomplete archive to its problem.
        notes: decisions made, and suggestions.
        warnings: everything else that needs attention.
    """

    dataset: str
    output: str
    labels: str = "labels.txt"
    lists: dict[str, int] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    split: dict[str, list[int]] = field(default_factory=dict)
    groups: int = 0
    missing: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)
    truncated: dict[str, str] = field(default_factory=dict)
    short: dict[str, int] = field(default_factory=dict)
    archives: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        groups = f" in {counted(self.groups, 'group')}" if self.groups else ""
        classes = [counted(len(self.classes), "class") + groups]
        lists = [f"{counted(clips, 'clip')} in {name}" for name, clips in self.lists.items()]
        lines = [f"{self.dataset}: {', '.join((classes if self.classes else []) + lists)}"]
        lines += [f"  {name}: {' + '.join(map(str, clips))}" for name, clips in self.split.items()]
        for split, names in self.missing.items():
            lines += _shortened(f"{split}: {counted(len(names), *_CLIPS)} missing", names)
        for reason, names in self.skipped.items():
            lines += _shortened(f"skipped {reason}: {len(names)}", names)
        lines += _shortened(f"{counted(len(self.broken), *_CLIPS)} broken; skipped", self.broken.values())
        same = (f"{clip} is the same as {first}" for clip, first in self.duplicates.items())
        lines += _shortened(f"{counted(len(self.duplicates), *_CLIPS)} the same as others; skipped", same)
        cut = (f"{name}: {frames}" for name, frames in self.truncated.items())
        lines += _shortened(f"{counted(len(self.truncated), *_CLIPS)} truncated; kept", cut)
        shortest = (f"{name}: {self.short[name]}" for name in sorted(self.short, key=lambda name: self.short[name]))
        lines += _shortened(
            f"{counted(len(self.short), 'clip has', 'clips have')} fewer than {SHORT} frames, which will repeat; kept",
            shortest,
        )
        lines += _shortened(
            f"{counted(len(self.archives), 'archive is', 'archives are')} damaged or incomplete", self.archives.values()
        )
        lines += [f"note: {text}" for text in self.notes] + [f"warning: {text}" for text in self.warnings]
        return "\n".join(map(readable, lines))


def _shortened(title: str, items: Iterable[str]) -> list[str]:
    """A heading and the first few items, or nothing if there are no items."""
    items = list(items)
    rest = (
        [f"  ... {counted(len(items) - _SHOWN, 'more is', 'more are')} in report.json"] if len(items) > _SHOWN else []
    )
    return [title, *(f"  {item}" for item in items[:_SHOWN]), *rest] if items else []
