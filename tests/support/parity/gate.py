"""The parity gate: every quantity within its tolerance, for clips that don't tie in PyTorch's max pools.

If two values in a max-pooling window are equal up to rounding, frameworks may send the gradient to different pixels,
and one such tie changes gradients by several percent. PyTorch's measurement tells how close its pools came to a tie.
Only a case that fails with clips of such a tie gets other clips; without one, a difference is a defect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.parity.cases import Case, cases, redrawn
from tests.support.parity.comparison import GAP, Row, compare
from tests.support.parity.measurement import REFERENCE, read, record

DRAWS = 4  # draws of clips per case
CONTESTED = 1e-6  # relative gap of a tie within rounding: eight steps of float32
REDRAWN_CASES = 1  # per framework; more would indicate a defect, not ties
IN_SUITE = {
    "mindspore": (  # eager mode is slow: every family and backbone, with and without partial batch norm
        *("tsm resnet18 block", "tsm resnet50 non-local", "tsn resnet34 gaussian", "trn resnet18 multi-scale"),
        *("tsm mobilenet_v2 online", "trn bn_inception multi-scale", "msn resnet14", "tdn resnet14"),
        *("tsm resnet14_vd", "tsm pp_mobilenet_v3", "tsm pp_lcnet_v2"),
    ),
    "paddle": tuple(
        case.name
        for case in cases()
        if case.name not in ("tsn mobilenet_v2", "trn mobilenet_v2", "tsn bn_inception", "tsm bn_inception")
        and case.name != "tsm pp_mobilenet_v2"
        and case.name not in ("msn resnet50", "msn resnet50 16 segments", "tdn resnet50")  # the layers of resnet14's
    ),
}
"""Cases measured in each run of the test suite; the others are measured when the page is written."""


@dataclass
class Outcome:
    """Differences of a case for its last draw, and how close PyTorch's max pools came to a tie."""

    case: str
    rows: dict[str, Row] = field(default_factory=dict)
    draws: int = 0
    gap: float = float("inf")

    def add(self, rows: Iterable[Row], gap: float) -> None:
        """Replace the comparison by that of another draw."""
        self.draws += 1
        self.rows = {row.quantity: row for row in rows}
        self.gap = gap

    @property
    def failures(self) -> list[Row]:
        """Rows beyond their tolerance."""
        return [row for row in self.rows.values() if not row.passes]

    @property
    def passes(self) -> bool:
        """Whether the case was measured and every quantity is within its tolerance."""
        return bool(self.rows) and not self.failures

    @property
    def pending(self) -> bool:
        """Whether a measurement is missing: the first, or another one because a tie may explain the difference."""
        return not self.draws or (not self.passes and self.gap < CONTESTED and self.draws < DRAWS)


def in_suite(framework: str) -> list[Case]:
    """Cases measured in a framework by the test suite."""
    return [case for case in cases() if case.name in IN_SUITE[framework]]


def outcomes(framework: str, folder: Path, chosen: Sequence[Case]) -> list[Outcome]:
    """Measure cases in a framework and in PyTorch, and redraw the clips of those that fail beside a tie."""
    found = {case.name: Outcome(case.name) for case in chosen}
    for draw in range(DRAWS):
        pending = redrawn((case for case in chosen if found[case.name].pending), draw)
        for name in (REFERENCE, framework):
            record(name, folder, pending, draw)
        for case in pending:
            expected = read(case, REFERENCE, folder)
            found[case.name].add(
                compare(case, framework, expected, read(case, framework, folder)), float(expected[GAP])
            )
    return list(found.values())


def redrawn_cases(found: Iterable[Outcome]) -> list[str]:
    """Names of the cases that did not pass with their first draw."""
    return [outcome.case for outcome in found if outcome.draws > 1]
