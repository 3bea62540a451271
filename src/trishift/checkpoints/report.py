"""Reports on imported weights: the outcome for every tensor of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trishift.errors import CheckpointError
from trishift.io.wording import counted, shown_first


@dataclass
class ConversionReport:
    """Outcome of an import. Names are canonical unless noted.

    Attributes:
        source: the file.
        family: its family and model, for display.
        names: name in the file to canonical name, for every tensor used, in network order.
        transposed: matrices stored as (in, out).
        reshaped: canonical name to the shape in the file, if only axes of length one differ.
        cast: canonical name to the data type in the file, if it is not float32.
        filled: biases that the family does not have, filled with zeros.
        dropped: name in the file to the reason it is not needed.
        missing: tensors the model needs and the file lacks.
        unexpected: names in the file that the model does not have.
        misfits: canonical name to the problem with its shape or type.
        notes: options whose values do not come from the weights.
    """

    source: str
    family: str
    names: dict[str, str] = field(default_factory=dict)
    transposed: list[str] = field(default_factory=list)
    reshaped: dict[str, tuple[int, ...]] = field(default_factory=dict)
    cast: dict[str, str] = field(default_factory=dict)
    filled: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misfits: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether the file contained exactly the tensors of the model."""
        return not (self.missing or self.unexpected or self.misfits)

    def require_complete(self) -> None:
        """Raise a `CheckpointError` that names the first offenders."""
        if self.complete:
            return
        problems = [
            *(f"{name} {problem}" for name, problem in list(self.misfits.items())[:1]),
            *_first("missing", self.missing),
            *_first("unexpected", self.unexpected),
        ]
        raise CheckpointError(
            f"{self.source}: does not fit as {self.family}: {'; '.join(problems)} "
            "(set the family with --dialect, or keep the tensors that fit with convert --allow-partial)"
        )

    def summary(self) -> str:
        """Return the counts in one line."""
        counts = {
            "renamed": sum(raw != canonical for raw, canonical in self.names.items()),
            "transposed": len(self.transposed),
            "reshaped": len(self.reshaped),
            "cast to float32": len(self.cast),
            "filled with zeros": len(self.filled),
            "dropped": len(self.dropped),
            "missing": len(self.missing),
            "unexpected": len(self.unexpected),
            "misfits": len(self.misfits),
        }
        matched = f"{counted(len(self.names), 'tensor')} matched"
        others = [f"{count} {word}" for word, count in counts.items() if count]
        return f"{self.source}: {self.family}: {', '.join([matched, *others])}"

    def name_table(self) -> str:
        """Return one line per tensor of the file: its name and its canonical name, or `-` if it is not used."""
        rows = {**self.names, **dict.fromkeys([*self.dropped, *self.unexpected], "-")}
        width = max(map(len, rows), default=0)
        return "\n".join(f"{raw:<{width}}  {canonical}" for raw, canonical in rows.items())

    def __str__(self) -> str:
        lines = [self.summary(), *(f"  note: {note}" for note in self.notes)]
        lines += _grouped("dropped", self.dropped)
        lines += _grouped("misfit", self.misfits)
        lines += [f"  missing: {name}" for name in self.missing]
        lines += [f"  unexpected: {name}" for name in self.unexpected]
        lines += [f"  filled with zeros: {name}" for name in self.filled]
        return "\n".join(lines)


def _first(word: str, names: Sequence[str]) -> list[str]:
    return [f"{word} {shown_first(names, 1)}"] if names else []


def _grouped(word: str, reasons: Mapping[str, str]) -> list[str]:
    """Return one line per reason, with an example and a count."""
    groups: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        groups.setdefault(reason, []).append(name)
    return [f"  {_first(word, names)[0]}: {reason}" for reason, names in groups.items()]
