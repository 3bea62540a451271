from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from trishift.data.lists import ClipList, VideoRecord
from trishift.data.lists.columns import Texts, hashes, repeated

RECORDS = [
    VideoRecord(Path("/videos") / name, labels, frames, line, group)
    for line, (name, labels, frames, group) in enumerate(
        [("a.mp4", (1,), 9, None), ("caf\udce9/ü.mp4", (), None, "x"), ("a.mp4#t=1,2", (0, 2), 0, "x")] * 700, 1
    )
]


def test_columns_keep_every_record() -> None:
    clips = ClipList(records=RECORDS)
    for same in (clips, pickle.loads(pickle.dumps(clips))):
        assert list(same) == RECORDS == [same[i] for i in range(len(RECORDS))]
        assert same[-1] == RECORDS[-1] and list(same[5:2:-1]) == RECORDS[5:2:-1]
        assert list(same.select([7, 0, 7])) == [RECORDS[7], RECORDS[0], RECORDS[7]]
    assert clips.label_counts() == {(1,): 700, (): 700, (0, 2): 700}
    assert set(clips.videos()) == {"/videos/a.mp4", "/videos/caf\udce9/ü.mp4"}
    with pytest.raises(IndexError):
        clips[len(RECORDS)]


def test_classes_may_become_one() -> None:
    clips = ClipList(records=RECORDS).relabeled([1, 1, 1])
    assert [clips[i].labels for i in range(3)] == [(1,), (), (1, 1)]
    assert clips.label_counts() == {(1,): 700, (): 700, (1, 1): 700}


def test_text_must_not_contain_nul() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Texts().extend(["a\0b"])


@pytest.mark.parametrize(("texts", "expected"), [("", []), ("a", []), ("abcbda", [0, 1, 3, 5]), ("aa", [0, 1])])
def test_repeated_entries(texts: str, expected: list[int]) -> None:
    assert repeated(hashes(texts)) == repeated(np.array([ord(t) for t in texts], int)) == expected
