from __future__ import annotations

import pytest

from trishift.data.directions import check_reversal, mirrored_labels, reversed_labels
from trishift.errors import DataError


def test_mirrored_labels() -> None:
    names = (
        "Swiping Left",
        "Swiping Right",
        "Swiping Up",
        "Turning_Hand_Clockwise",
        "turning hand counterclockwise",
        "Pushing [something] from left to right",
        "Pushing [something] from right to left",
        "Turning right",
        "leftover",
    )
    assert mirrored_labels(names) == (1, 0, 2, 4, 3, 6, 5, 7, 8)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("Pulling Hand In", "Pushing Hand Away", "Waving"), (1, 0, 2)),
        (("Rolling Hand Backward", "Rolling Hand Forward"), (1, 0)),
        (("turn_clockwise", "turn_counterclockwise"), (1, 0)),
        (("Pushing [x] from left to right", "Pulling [x] from right to left"), (1, 0)),
        (("opening door", "shutting door", "closing door"), (None, None, None)),  # which one?
        (("Pulling [x] onto [y]", "Pushing [x] onto [y]"), (None, None)),
        (("picking cup up", "putting cup down", "put on hat", "take off hat"), (1, 0, 3, 2)),
        (("unzip", "zip", "ties", "unties", "sit down", "stand up"), (1, 0, 3, 2, 5, 4)),
        (("Thumb Up", "Thumb Down", "Stop Sign"), (0, 1, 2)),  # poses
        (("push", "Swiping Left", "tearing paper"), (None, None, None)),
        (("playing in snow", "shut the lid on a pan", "handshake"), (0, None, 2)),
        (("left right " * 30, "wave"), (None, 1)),  # too many names to try them all
    ],
)
def test_opposite_words_give_the_reversed_label(names: tuple[str, ...], labels: tuple[int | None, ...]) -> None:
    assert reversed_labels(names) == labels


def test_opposites_replace_what_names_show() -> None:
    names = ("push up", "Falten", "Entfalten", "push")
    assert reversed_labels(names) == (None, 1, 2, None)
    assert reversed_labels(names, [("push up", "push up"), ("Falten", "Entfalten")]) == (0, 2, 1, None)
    assert reversed_labels(("push", "pull", "shove"), [("push", "shove")]) == (2, None, 0)
    with pytest.raises(DataError, match="'pull' is not a class"):
        reversed_labels(names, [("push", "pull")])
    with pytest.raises(DataError, match="two pairs"):
        reversed_labels(names, [("push", "push up"), ("push", "Falten")])


def test_reversal_that_changes_a_class_is_refused() -> None:
    for names, change in (
        (("open", "close"), "'open' becomes 'close'"),
        (("wave", "push"), "'push' becomes something"),
    ):
        with pytest.raises(DataError, match=f"{change}.*set swap_labels or none"):
            check_reversal(names, reversed_labels(names))
    check_reversal(["wave"], reversed_labels(["wave"]))
