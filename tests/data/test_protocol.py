"""Evaluation protocols by name and by their numbers of clips and crops."""

from __future__ import annotations

import pytest

from trishift.data.protocol import PROTOCOLS, named_protocol
from trishift.errors import RecipeError


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ("1x1", "center"), ("1x3", "three"), ("1x10", "ten"), ("2x3", "twice"),
        ("10x3", "dense"), ("10x1", "dense_center"), ("10x10", "dense_ten"), ("10×3", "dense"),
    ],
)  # fmt: skip
def test_numbers_match_the_published_protocols(numbers: str, name: str) -> None:
    assert named_protocol(numbers) == PROTOCOLS[name]


@pytest.mark.parametrize(("clips", "crops"), [(1, 1), (1, 5), (2, 1), (3, 3), (4, 10), (7, 1), (30, 5)])
def test_numbers_are_clips_and_crops(clips: int, crops: int) -> None:
    protocol = named_protocol(f"{clips}x{crops}")
    assert protocol.sampling.num_clips == clips
    assert protocol.num_views == clips * crops


@pytest.mark.parametrize("name", ["0x3", "3x2", "x3", "10x", "10 x 3", "-1x3", "1000x3", "sparse", ""])
def test_rejects_other_names(name: str) -> None:
    with pytest.raises(RecipeError, match="for instance 10x3, or one of center"):
        named_protocol(name)
