"""Shipped class names: complete, and in the order that their data set's code bases use."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.paths import ROOT

from trishift.checkpoints.labels import shipped_labels
from trishift.data.directions import mirrored_labels

COUNTS = {
    **{"hmdb51": 51, "jester": 27, "kinetics400": 400, "kinetics600": 600, "kinetics700": 700, "moments": 339},
    **{"multi_moments": 313, "somethingv1": 174, "somethingv1_mmaction2": 174, "somethingv2": 174, "ucf101": 101},
}
SORTED = ("hmdb51", "jester", "kinetics400", "kinetics600", "kinetics700", "somethingv1", "somethingv2")


def test_every_shipped_list_is_a_file_and_documented() -> None:
    files = {path.stem for path in (ROOT / "src/trishift/data/labels").iterdir()}
    guide = Path(ROOT / "docs/class_names.md").read_text("utf-8")
    assert files == set(COUNTS)
    assert all(f"`{name}`" in guide for name in files)


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_shipped_names_are_complete(name: str, count: int) -> None:
    names = shipped_labels(name)
    assert len(names) == len(set(names)) == count
    assert all(name == name.strip() and name for name in names)
    assert (list(names) == sorted(names)) == (name in SORTED)


@pytest.mark.parametrize(
    ("name", "pairs"),
    [  # the numbers in the code of TDN and MSN, and in mmaction2's
        ("somethingv1", {(86, 87), (93, 94), (166, 167)}),
        ("somethingv2", {(86, 87), (93, 94), (166, 167)}),
        ("somethingv1_mmaction2", {(2, 4), (30, 41), (52, 66)}),
    ],
)
def test_mirrored_classes_have_the_originals_numbers(name: str, pairs: set[tuple[int, int]]) -> None:
    mirrored = mirrored_labels(shipped_labels(name))
    assert {(label, other) for label, other in enumerate(mirrored) if label < other} == pairs


def test_moments_are_numbered_as_in_m4() -> None:
    assert (shipped_labels("multi_moments")[12], shipped_labels("multi_moments")[312]) == ("tattooing", "jogging")
    assert shipped_labels("ucf101").index("HammerThrow") > shipped_labels("ucf101").index("Hammering")
