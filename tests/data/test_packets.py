"""The packet index: where decoding starts for a frame near the end of a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from testing.encoded_clips import NUM_FRAMES, VIDEOS

from trishift.data.packets import demuxed, index_packets


def packets_for_last_frame(path: Path) -> int | None:
    """How many packets are decoded for the last frame; None if the file has no index."""
    with av.open(str(path)) as container:
        index = index_packets(container, container.streams.video[0])
    if index is None:
        return None
    (run,) = index.runs([NUM_FRAMES - 1])
    first, last = index.positions[np.searchsorted(index.pts, [run.first_pts, run.last_pts])]
    return int(last - first + 1)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.ts", "hevc.mp4", "vp9.webm"])
def test_decoding_starts_at_the_last_key_frame(name: str, tmp_path: Path) -> None:
    packets = packets_for_last_frame(VIDEOS[name](tmp_path / name))
    assert packets is not None and 0 < packets <= 15


@pytest.mark.parametrize("name", ["h264_open_gop.mkv", "h264_refresh.mp4"])
def test_unsafe_key_frames_are_not_used(name: str, tmp_path: Path) -> None:
    packets = packets_for_last_frame(VIDEOS[name](tmp_path / name))
    assert packets is not None and packets > NUM_FRAMES - 5  # a few that nothing shown depends on may follow


@pytest.mark.parametrize("name", ["h264.avi", "h264_raw.264", "pictures.gif"])
def test_unreliable_timestamps_give_no_index(name: str, tmp_path: Path) -> None:
    assert packets_for_last_frame(VIDEOS[name](tmp_path / name)) is None


def test_streams_that_appear_late_lose_no_packets() -> None:
    class Container:
        def demux(self, stream: object) -> Iterator[int]:
            yield from (1, 2, 3)
            raise IndexError("list index out of range")  # as PyAV does when it flushes a stream that it does not know

    assert list(demuxed(Container(), None)) == [1, 2, 3]  # type: ignore[arg-type]
