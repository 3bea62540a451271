"""The result of comparing all ways of running a model: a table, and the first stage at which each of them parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trishift.checking.pixels import Change
from trishift.checking.trace import STAGES, Gap
from trishift.data.stages import PIXEL_STAGES
from trishift.io.terminal import printable
from trishift.io.text_table import aligned

_EXACT = 1e-2  # gray levels: what float32 leaves of equal pixels
UNEXPLAINED = "no known change of the reader or of the network explains it"


@dataclass(frozen=True)
class Way:
    """One way of running the model, compared with the reader and the weights.

    Attributes:
        name: a command, framework, runtime, decoder or file.
        gaps: how far it is from the expected arrays, by stage; stages that it does not show are missing.
        changes: what is different, as (stage, words), the first stage first.
        skipped: why it could not be run; empty if it ran.
        note: a remark.
    """

    name: str
    gaps: Mapping[str, Gap] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    skipped: str = ""
    note: str = ""

    @property
    def parts_at(self) -> str | None:
        """The first stage at which it differs by more than rounding; None if it agrees."""
        if self.changes:
            return self.changes[0][0]
        return first_parting(self.gaps)

    @property
    def verdict(self) -> str:
        """One line."""
        if self.skipped:
            return f"skipped: {self.skipped}"
        stage = self.parts_at
        if stage is None:
            words = "agrees"
            if is_rounded(self.gaps) and "probabilities" in self.gaps:
                moved = self.gaps["probabilities"].size
                words += f" up to the rounding of its pixels, which moves probabilities by {moved:.2g} of the largest"
        else:
            reasons = [words if name == stage else f"{name}: {words}" for name, words in self.changes]
            shape = self.gaps[stage].words if stage in self.gaps else ""
            words = f"parts at {stage}: {'; '.join(reasons) or shape or UNEXPLAINED}"
        return f"{words}; {self.note}" if self.note else words

    def summary(self) -> dict[str, Any]:
        """Everything as JSON types; differences that are not finite are null."""
        sizes = {stage: found.size if np.isfinite(found.size) else None for stage, found in self.gaps.items()}
        changes = [{"stage": stage, "change": words} for stage, words in self.changes]
        status = "skipped" if self.skipped else "agrees" if self.parts_at is None else "parts"
        return {
            **{"way": self.name, "status": status, "parts_at": self.parts_at, "verdict": self.verdict},
            **{"differences": sizes, "changes": changes},
        }


def is_rounded(gaps: Mapping[str, Gap]) -> bool:
    """Whether pixels differ, but by no more than the rounding of a decoder."""
    found = [gaps[stage] for stage in PIXEL_STAGES if stage in gaps]
    return any(each.size > _EXACT for each in found) and not any(each.parts for each in found)


def first_parting(gaps: Mapping[str, Gap]) -> str | None:
    """The first stage with more than rounding; what follows from rounded pixels is not judged."""
    judged = PIXEL_STAGES if is_rounded(gaps) else STAGES
    return next((stage for stage in judged if stage in gaps and gaps[stage].parts), None)


@dataclass(frozen=True)
class Agreement:
    """All ways of running a model on a clip.

    Attributes:
        clip, checkpoint: their names.
        frames: numbers of the sampled frames.
        label, probability: the predicted class.
        ways: in the order in which they were run.
        notes: remarks about the comparison.
    """

    clip: str
    checkpoint: str
    frames: tuple[int, ...]
    label: str
    probability: float
    ways: tuple[Way, ...]
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether some way ran, and none parts."""
        ran = [way for way in self.ways if not way.skipped]
        return bool(ran) and all(way.parts_at is None for way in ran)

    def summary(self) -> dict[str, Any]:
        """Everything as JSON types."""
        return {
            **{"clip": self.clip, "checkpoint": self.checkpoint, "frames": list(self.frames), "agrees": self.agrees},
            **{"label": self.label, "probability": self.probability, "notes": list(self.notes)},
            "ways": [way.summary() for way in self.ways],
        }

    def __str__(self) -> str:
        """The table, followed by the verdicts."""
        ran = [way for way in self.ways if not way.skipped]
        shown = [stage for stage in STAGES if any(stage in way.gaps for way in ran)]
        rows = [["", *shown], *([printable(way.name), *(_cell(way, stage) for stage in shown)] for way in ran)]
        name = max(len(printable(way.name)) for way in self.ways) if self.ways else 0
        verdicts = [f"{printable(way.name):{name}}  {printable(way.verdict)}" for way in self.ways]
        units = "pixels differ by gray levels (root mean square), all else by a share of the largest value"
        head = f"{printable(self.clip)}: {printable(self.label)} {self.probability:.1%}; frames {_numbers(self.frames)}"
        return "\n".join(
            [head, "", *aligned(rows, "<>"), units, "", *verdicts, *(f"note: {note}" for note in self.notes)]
        )


def _cell(way: Way, stage: str) -> str:
    found = way.gaps.get(stage)
    if found is None:
        return "-"
    mark = "*" if stage == way.parts_at else ""
    return f"{'other shape' if found.size == np.inf else f'{found.size:.2g}'}{mark}"


def _numbers(frames: Sequence[int]) -> str:
    texts = [str(number) for number in frames]
    return ", ".join(texts if len(texts) <= 16 else [*texts[:15], "..."])
