"""Parts of videos: units, spellings of columns, and exact frames without decoding the rest of the file."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from testing.encoded_clips import encode, shown_number

import trishift.data.video as reader
from trishift.data.lists import read_list
from trishift.data.parts import Part, part_names
from trishift.data.sources import open_clip
from trishift.errors import DataError


def test_parts_of_one_file_decode_only_their_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "long.mp4", "libx264")  # 40 frames, a key frame at least every 10
    monkeypatch.setattr(reader, "_decode", decode := Mock(wraps=reader._decode))
    monkeypatch.setattr(reader, "index_packets", index := Mock(wraps=reader.index_packets))
    for part, first in (("#t=1.24,1.4", 31), ("#frames=12,15", 12), ("#t=0:00:00.4,0:00:00.48", 10)):
        decode.reset_mock()
        with open_clip(f"{path}{part}") as clip:
            assert shown_number(clip.read(range(clip.num_frames))[0]) == first
        assert decode.call_count <= 12  # packets from a key frame to the end of the part, and the flush
    assert index.call_count == 1


def test_replaced_file_is_indexed_again(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", "libx264", num_frames=12)
    with open_clip(path) as clip:
        assert clip.num_frames == 12
    encode(path, "libx264", num_frames=20)
    with open_clip(path) as clip:
        assert clip.num_frames == 20


def test_variable_frame_rate_is_read_by_its_times(tmp_path: Path) -> None:
    stamps = [40 * number for number in range(20)] + [800 + 200 * number for number in range(20)]
    path = encode(tmp_path / "slow.mp4", "libx264", stamps=stamps)
    with open_clip(f"{path}#t=1.0,2.05") as clip:
        assert [shown_number(frame) for frame in clip.read(range(clip.num_frames))] == [21, 22, 23, 24, 25]
        assert clip.times is not None and np.allclose(clip.times, np.arange(5) * 0.2)


def test_ends_move_to_the_nearest_frame() -> None:
    times = np.array([0.0, 0.1, 0.2, 1.0, 2.0])
    assert Part(0.16, 0.61, seconds=True).frames(5, 5 / 2, "a", times) == range(2, 3)
    assert Part(1.4, 99, seconds=True).frames(5, 5 / 2, "a", times) == range(3, 5)
    with pytest.raises(DataError, match="lies outside the video of 5 frames"):
        Part(2.6, 3, seconds=True).frames(5, 5 / 2, "a", times)


def test_rounded_time_stamps_count_as_a_constant_rate() -> None:
    times = np.round(np.arange(3000) / 29.97, 3)
    part = Part(10.01, 20.02, seconds=True)
    assert part.frames(3000, 29.97, "a", times) == part.frames(3000, 29.97, "a")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("path,start,end,label", "a.mp4,62,63.5,0"),
        ("path,start,end,label", "a.mp4,1:02,0:01:03.5,0"),
        ("path,Start Time,End Time,label", "a.mp4,01:02,01:03.5,0"),
        ("label,start_ms,end_ms,path", "0,62000,63500,a.mp4"),
        ("path,Begin Time - ss.msec,End Time - ss.msec,label", "a.mp4,62.000,63.500,0"),
        ("path,Begin Time - hh:mm:ss.ms,End Time - hh:mm:ss.ms,label", "a.mp4,00:01:02.000,00:01:03.500,0"),
        ("path,Begin Time - msec,End Time - msec,label", "a.mp4,62000,63500,0"),
        ("path,Start (s),Stop (s),label", "a.mp4,62,63.5,0"),
    ],
)
def test_spellings_of_seconds(tmp_path: Path, header: str, row: str) -> None:
    table = tmp_path / "list.csv"
    table.write_text(f"{header}\n{row}\n")
    assert [str(record.path.name) for record in read_list(table)] == ["a.mp4#t=62,63.5"]


def test_one_cell_with_a_decimal_point_settles_the_unit_of_all(tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    table.write_text("path,start,end,label\na.mp4,3,7,0\na.mp4,7,9.5,1\n")
    assert [record.path.name for record in read_list(table)] == ["a.mp4#t=3,7", "a.mp4#t=7,9.5"]
    table.write_text("path,start,end,label\na.mp4,3,7,0\n")
    with pytest.raises(DataError, match=r"list.csv:2: start, end could be frames or seconds; rename the columns"):
        read_list(table)


def test_names_of_other_columns_are_kept() -> None:
    assert part_names(["onset", "timestamp", "offset"]) == ["start", "timestamp", "end"]
    assert part_names(["path", "Stamp", "to"]) == ["path", "stamp", "to"]
