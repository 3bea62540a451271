"""The page holds valid data and no way out of it; the film keeps pictures, times and sound."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from testing.encoded_clips import HEIGHT, NUM_FRAMES, WIDTH, encode, shown_number

from trishift.errors import DataError
from trishift.evaluation.calibration import Calibration
from trishift.reporting.timelines.content import TimelineContent
from trishift.reporting.timelines.film import write_film
from trishift.reporting.timelines.page import page_text
from trishift.streaming.events import Event, EventRule, Reading
from trishift.streaming.recording import Recording

EVENTS = (Event(0.2, 0.8, 0, 0.9, 3, ()), Event(0.8, 1.4, 1, 0.7, 3, ()))
READINGS = [Reading(n, n / 5, n / 5 + 0.4, {0: 0.9 - n / 10, 1: n / 10}) for n in range(7)]


def content(video: Path | None, **changes: object) -> TimelineContent:
    recording = None if video is None else Recording(video)
    labels = ("wave", "</script><b>clap")
    settings = {"video": "a.mp4", "window": 0.4, "hop": 0.2, "duration": 1.6, "windows": 7, "rule": EventRule()}
    settings |= {"labels": labels, "events": EVENTS, "readings": lambda: iter(READINGS), "recording": recording}
    return TimelineContent(**{**settings, **changes})  # type: ignore[arg-type]


def data(page: str) -> dict:
    [found] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(found)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With sound in a codec that MP4 files cannot hold."""
    silent = encode(tmp_path_factory.mktemp("film") / "silent.mkv", "libx264")
    path = silent.with_name("a b.mkv")
    with av.open(str(silent)) as source, av.open(str(path), "w") as output:
        pictures = output.add_stream_from_template(source.streams.video[0])
        sound = output.add_stream("pcm_s16le", rate=16000, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = pictures
                output.mux(packet)
        for start in range(0, 25600, 800):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
            output.mux(sound.encode(frame))
        output.mux(sound.encode())
    return path


def test_page(video: Path, tmp_path: Path) -> None:
    page = page_text(content(video), tmp_path)
    found = data(page)
    assert found["labels"]["1"] == "</script><b>clap"
    assert found["events"][1] == {"start": 0.8, "end": 1.4, "label": 1, "probability": 0.7, "row": 0}
    assert found["curves"]["0"] == [90, 80, 70, 60, 50, 40, 30]
    assert (found["begin"], data(page_text(content(video, begin=0.2), tmp_path))["begin"]) == (0, 0.2)
    assert found["times"] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]
    assert found["source"].endswith("/a%20b.mkv")
    assert not re.search(r"(?:src|href)=", page), "the page is self-contained"


def test_small_videos_are_inside_the_page(tmp_path: Path) -> None:
    clip = encode(tmp_path / "a.mp4", "libx264", num_frames=2)
    assert data(page_text(content(clip), tmp_path))["source"].startswith("data:video/mp4;base64,")
    assert data(page_text(content(None), tmp_path))["source"] is None


def test_tracks_of_several_labels_have_rows(tmp_path: Path) -> None:
    rule = EventRule(1.0, 0.6, calibration=Calibration(True, thresholds=np.array([0.5, 0.5])))
    assert [event["row"] for event in data(page_text(content(None, rule=rule), tmp_path))["events"]] == [0, 1]


def test_film_keeps_pictures_times_and_sound(video: Path, tmp_path: Path) -> None:
    write_film(content(video), tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert sum(frame.samples for frame in film.decode(audio=0)) == pytest.approx(25600, rel=0.1)
        film.seek(0)
        frames = list(film.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(NUM_FRAMES) / 25, abs=1e-3)
    pixels = [frame.to_ndarray(format="rgb24") for frame in frames]
    assert [shown_number(image[:HEIGHT]) for image in pixels] == list(range(NUM_FRAMES))
    bars = [image[HEIGHT:] for image in pixels]
    assert bars[0].shape[1] == WIDTH
    marks = [bar[-3].astype(int).sum(axis=1).argmax() for bar in bars]  # of the time in the strip
    assert marks == sorted(marks) and marks[-1] > 0.9 * WIDTH
    assert np.abs(bars[10].astype(int) - bars[30]).mean() > 5  # another class


def test_film_of_a_part_begins_with_it(video: Path, tmp_path: Path) -> None:
    write_film(content(Path(f"{video}#t=0.4,0.8"), begin=0.4, duration=0.8), tmp_path / "film.mp4")
    with av.open(str(tmp_path / "film.mp4")) as film:
        assert sum(frame.samples for frame in film.decode(audio=0)) < 10_000
        film.seek(0)
        frames = list(film.decode(video=0))
    assert [shown_number(frame.to_ndarray(format="rgb24")[:HEIGHT]) for frame in frames] == list(range(10, 20))
    assert frames[0].time == 0
    bars = [frame.to_ndarray(format="rgb24")[-3].astype(int).sum(axis=1) for frame in frames]
    assert bars[0].argmax() < 0.2 * WIDTH and bars[-1].argmax() > 0.8 * WIDTH


def test_film_of_a_camera_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read again"):
        write_film(content(None), tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())
