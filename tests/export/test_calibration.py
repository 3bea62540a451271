"""INT8 models are judged on clips that did not calibrate them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from testing.encoded_clips import encode

from trishift.checkpoints import Checkpoint
from trishift.errors import DataError
from trishift.export.calibration import split_clips
from trishift.model.spec import InputSpec, ModelSpec

CHECKPOINT = Checkpoint({}, ModelSpec("resnet10", 3, 2, width=4), InputSpec(resize=36, crop=32))


@pytest.mark.parametrize(
    ("videos", "limit", "calibrating", "judging"),
    [(2, 300, 1, 1), (3, 300, 2, 1), (8, 300, 6, 2), (8, 3, 3, 5), (400, 300, 300, 64), (1000, 300, 300, 64)],
)
def test_no_clip_calibrates_and_judges(videos: int, limit: int, calibrating: int, judging: int) -> None:
    paths = [Path(f"{number}.mp4") for number in range(videos)]
    parts = split_clips(paths, CHECKPOINT, limit)
    assert [len(part) for part in parts] == [calibrating, judging]
    first, second = ({part._dataset.name(index) for index in range(len(part))} for part in parts)
    assert len(first) == calibrating and len(second) == judging and not first & second


@pytest.mark.parametrize("paths", [[], [Path("a.mp4")], [Path("a.mp4")] * 5])
def test_rejects_lists_that_cannot_be_split(paths: list[Path]) -> None:
    with pytest.raises(DataError, match="at least two videos"):
        split_clips(paths, CHECKPOINT, 300)


def test_clips_are_read_on_access(tmp_path: Path) -> None:
    paths = [encode(tmp_path / f"{number}.mp4", "mpeg4", num_frames=4) for number in range(2)]
    for part in split_clips(paths, CHECKPOINT, 1):
        assert part[0].shape == (2, 3, 32, 32) and part[0].dtype == np.float32
    paths[0].unlink()
    unreadable = split_clips(paths, CHECKPOINT, 1)[0]
    with pytest.raises(DataError, match=r"0\.mp4"):
        unreadable[0]
    with pytest.raises(DataError, match=r"calibration: 1 of 1 video cannot be read; first: .*0\.mp4"):
        unreadable.check()
