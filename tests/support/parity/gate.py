"""What passes: every quantity within its tolerance, in a few draws of clips, and few cases that need more than one.

Where two values of a max-pooling window are equal up to rounding, frameworks may send the gradient to different
pixels, and one such tie moves gradients by several percent. It happens for some clips and not for others, whereas a
defect shows for all: a case that fails gets other clips, and the smallest difference of each quantity counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.parity.cases import Case, cases, redrawn
from tests.support.parity.comparison import Row, compare
from tests.support.parity.measurement import REFERENCE, read, record

DRAWS = 4  # clips that a case may try
REDRAWN_CASES = 1  # of a framework, among all cases: more would be a defect and no ties
IN_SUITE = {
    "mindspore": (  # each compiles for long: every family and backbone, with and without partial batch norm
        *("tsm resnet18 block", "tsm resnet50 non-local", "tsn resnet34 gaussian", "tsn resnet34 dot product"),
        *("tsn resnet34 concatenation", "trn resnet18 multi-scale", "tsm mobilenet_v2 online"),
        *("trn bn_inception multi-scale", "msn resnet14"),
    ),
    "paddle": tuple(
        case.name
        for case in cases()
        if case.name not in ("tsn mobilenet_v2", "trn mobilenet_v2", "tsn bn_inception", "tsm bn_inception")
    ),
}
"""The cases that each run of the test suite measures; the others are measured when the page is made."""


@dataclass
class Outcome:
    """The smallest difference of each quantity of a case, over the draws that it took."""

    case: str
    rows: dict[str, Row] = field(default_factory=dict)
    draws: int = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Take in the comparison of another draw."""
        self.draws += 1
        for row in rows:
            self.rows[row.quantity] = min(self.rows.get(row.quantity, row), row, key=lambda row: row.difference)

    @property
    def failures(self) -> list[Row]:
        """Quantities beyond their tolerance."""
        return [row for row in self.rows.values() if not row.passes]

    @property
    def passes(self) -> bool:
        """Whether it was measured and every quantity is within its tolerance."""
        return bool(self.rows) and not self.failures


def in_suite(framework: str) -> list[Case]:
    """The cases that the test suite measures in a framework."""
    return [case for case in cases() if case.name in IN_SUITE[framework]]


def outcomes(framework: str, folder: Path, chosen: Sequence[Case]) -> list[Outcome]:
    """Measure cases in a framework and in PyTorch, with other clips for those that fail."""
    found = {case.name: Outcome(case.name) for case in chosen}
    for draw in range(DRAWS):
        pending = redrawn((case for case in chosen if not found[case.name].passes), draw)
        for name in (REFERENCE, framework):
            record(name, folder, pending)
        for case in pending:
            rows = compare(case, framework, read(case, REFERENCE, folder), read(case, framework, folder))
            found[case.name].add(rows)
    return list(found.values())


def redrawn_cases(found: Iterable[Outcome]) -> list[str]:
    """Names of the cases that did not pass with their first clips."""
    return [outcome.case for outcome in found if outcome.draws > 1]
