"""Sliding windows: by time stamps, with a bounded buffer, and none lost at the end."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trishift.errors import DataError, RecipeError
from trishift.streaming import windows as geometry
from trishift.streaming.clock import Clock
from trishift.streaming.source import Frame
from trishift.streaming.windows import HeldFrame, Window, slide

PICTURE = np.zeros((2, 2, 3), np.uint8)


def frames(times: list[float]) -> list[HeldFrame]:
    return [HeldFrame(Frame(PICTURE, number, time), lambda picture: picture) for number, time in enumerate(times)]


def at_rate(fps: float, count: int) -> list[float]:
    return [number / fps for number in range(count)]


def numbers(window: Window) -> list[int]:
    return [frame.number for frame in window.frames]


@pytest.mark.parametrize("count", [1, 3, 24])
def test_short_video_is_one_window(count: int) -> None:
    [window] = slide(frames(at_rate(12, count)), 2.0, 0.5)
    assert window.is_whole and window.start == 0
    assert numbers(window) == list(range(count))


@pytest.mark.parametrize(("fps", "length", "hop"), [(12, 2.0, 0.5), (25, 1.0, 0.3), (30, 2.5, 2.5), (7, 0.2, 0.1)])
def test_windows_are_those_of_the_definition(fps: float, length: float, hop: float) -> None:
    times = at_rate(fps, 200)
    found = list(slide(frames(times), length, hop))
    close = times[-1] + 1 / fps
    count = math.floor((close - length) / hop + 1e-6) + 1
    starts = [index * hop for index in range(count)]
    if starts[-1] + length < close - 1e-6:
        starts.append(close - length)
    assert [window.start for window in found] == pytest.approx(starts)
    assert found[-1].end == pytest.approx(close)
    for window, start in zip(found, starts, strict=True):
        assert numbers(window) == [n for n, time in enumerate(times) if start - 1e-6 <= time < start + length - 1e-6]
        assert not window.is_whole


def test_variable_rate_counts_by_time() -> None:
    times = [0, 0.1, 0.2, 0.9, 1.0, 1.9, 2.0, 2.1, 2.9]
    found = list(slide(frames(times), 1.0, 1.0))
    assert [numbers(window) for window in found] == [[0, 1, 2, 3], [4, 5], [6, 7, 8]]


def test_a_gap_has_no_windows_however_long() -> None:
    times = [*at_rate(10, 20), *(1e7 + time for time in at_rate(10, 20))]
    found = list(slide(frames(times), 1.0, 0.5))
    assert all(window.frames for window in found)
    assert found[3].index == 3 and found[4].index > 1e6 and found[-1].end == pytest.approx(1e7 + 2)
    assert sorted({number for window in found for number in numbers(window)}) == list(range(40))


def test_buffer_holds_one_window() -> None:
    held: list[HeldFrame] = []
    alive = [0]

    def endless() -> object:
        for frame in frames(at_rate(10, 3000)):
            held.append(frame)
            yield frame

    for window in slide(endless(), 2.0, 0.5):  # type: ignore[arg-type]
        alive.append(len(window.frames))
    assert max(alive) == 20


def test_pixels_are_converted_once_and_only_when_used() -> None:
    converted: list[int] = []

    def convert(number: int) -> np.ndarray:
        converted.append(number)
        return PICTURE

    source = [
        HeldFrame(Frame(lambda number=number: convert(number), number, number / 10), lambda picture: picture)  # type: ignore[misc]
        for number in range(50)
    ]
    for window in slide(source, 1.0, 0.2):
        assert window.frames[0].pixels is window.frames[0].pixels
    assert converted == sorted({*range(0, 41, 2)})


def test_many_bytes_are_cropped_early_and_too_many_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "_DECODED_BYTES", 100)
    held = [HeldFrame(Frame(PICTURE, n, n / 10, size=50), lambda picture: picture) for n in range(60)]
    assert len(list(slide(held, 10.0, 1.0))) == 1
    assert sum(not frame.is_decoded for frame in held) >= 28
    monkeypatch.setattr(geometry, "_MOST_BYTES", 500)
    with pytest.raises(DataError, match=r"window of 10 s need more than .* use a shorter --window"):
        list(slide([HeldFrame(Frame(PICTURE, n, n / 10, size=50), lambda p: p) for n in range(60)], 10.0, 1.0))


@pytest.mark.parametrize(
    ("length", "hop", "message"),
    [(0, 1, "--window"), (1, 0, "--hop"), (1, -1, "--hop"), (math.nan, 1, "--window"), (1, 2, "leaves gaps")],
)
def test_rejects_lengths(length: float, hop: float, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        list(slide([], length, hop))


def test_no_frames_no_windows() -> None:
    assert list(slide([], 1, 1)) == []


def test_clock_never_goes_back() -> None:
    clock = Clock()
    stamps = [5.0, 5.1, None, 5.3, 5.3, 2.0, 2.1]
    times = [clock.read(stamp) for stamp in stamps]
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5])
    assert clock.jumps == 1
