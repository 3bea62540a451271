"""What overlaps in a timeline, and what lies between."""

from __future__ import annotations

import pytest

from trishift.data.prepare.overlaps import Overlap, gaps, overlaps


def test_overlaps_of_different_labels_have_their_shares() -> None:
    spans = [range(10), range(5, 25), range(6, 8), range(30, 40)]
    found = list(overlaps(spans, ["a", "b", "a", "b"]))
    assert found == [Overlap(0, 1, 0.5, 0.25), Overlap(1, 2, 0.1, 1.0)]
    assert [overlap.is_double for overlap in found] == [True, True]
    assert not Overlap(0, 1, 0.49, 0.3).is_double


@pytest.mark.parametrize(
    ("margin", "shortest", "longest", "expected"),
    [
        (0, 1, 100, [range(10), range(20, 30), range(60, 100)]),
        (2, 1, 100, [range(8), range(22, 28), range(62, 100)]),
        (2, 8, 100, [range(8), range(62, 100)]),
        (0, 1, 15, [range(10), range(20, 30), range(60, 73), range(73, 86), range(86, 100)]),
        (0, 15, 15, [range(60, 75), range(75, 90)]),
        (6, 1, 100, [range(4), range(66, 100)]),
    ],
)
def test_gaps(margin: int, shortest: int, longest: int, expected: list[range]) -> None:
    covered = [range(30, 60), range(10, 20), range(40, 50)]
    assert gaps(covered, 100, margin, shortest, longest) == expected


def test_covered_ends_leave_no_gap() -> None:
    assert gaps([range(0, 50), range(50, 100)], 100, 3, 1, 10) == []
