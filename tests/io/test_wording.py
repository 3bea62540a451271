"""Numbers with their nouns, similar words and files, and values without Python's syntax."""

from __future__ import annotations

from pathlib import Path

import pytest

from trishift.errors import LONGEST_MESSAGE, DataError
from trishift.io.wording import counted, nearest, nearest_path, one_of, plain, shown_first, unreadable


def test_numbers_agree_with_their_words() -> None:
    assert [counted(n, "clip is", "clips are") for n in (0, 1, 2)] == ["0 clips are", "1 clip is", "2 clips are"]


def test_messages_are_bounded_and_keep_their_remedy() -> None:
    text = str(DataError(f"list.txt:3: {'a' * 10**6} is no class; use another"))
    assert len(text) == LONGEST_MESSAGE and text.startswith("list.txt:3: aaa") and text.endswith("; use another")
    assert "... aaa" in text


def test_nothing_more_is_not_announced() -> None:
    assert shown_first(["a", "b"], 2) == "a, b"
    assert shown_first(["a", "b", "c"], 2) == "a, b and 1 more"


def test_similar_words_are_found_in_any_case() -> None:
    assert nearest("MINDSPROE", ["pytorch", "mindspore"]) == "mindspore"
    assert nearest("tensorflow", ["pytorch", "mindspore"]) is None
    assert one_of("zzz", ["a", "b"]) == "; one of a, b"


@pytest.mark.parametrize(
    ("missing", "found"),
    [("val.csv", "val.txt"), ("list/val.txt", "lists"), ("lists/Val.txt", "lists/val.txt"), ("other", None)],
)
def test_missing_paths_name_their_neighbor(tmp_path: Path, missing: str, found: str | None) -> None:
    (tmp_path / "lists").mkdir()
    for name in ("val.txt", "lists/val.txt"):
        (tmp_path / name).touch()
    assert nearest_path(tmp_path / missing) == (f"; did you mean {tmp_path / found}?" if found else "")


def test_only_missing_files_have_neighbors(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert unreadable(tmp_path / "b.mp4", PermissionError(13, "Permission denied")).endswith("; check the path")
    assert unreadable(tmp_path / "b.mp4", FileNotFoundError(2, "No such file")).endswith(f"mean {tmp_path / 'a.mp4'}?")


def test_nested_values_have_no_braces() -> None:
    value = {"name": "tsm", "input": {"mean": [0.5, 0.25], "flip": None}, "exact": True, "clips": []}
    assert plain(value) == "name tsm, input.mean (0.5, 0.25), input.flip none, exact yes, clips none"
