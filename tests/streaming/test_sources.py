"""Frames of files, folders, cameras and threads: files lose no frames, live sources do not fall behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from testing.encoded_clips import HEIGHT, NUM_FRAMES, VIDEOS, WIDTH, encode, shown_number

from trishift.data import video
from trishift.errors import DataError, FrameworkError
from trishift.streaming.live import Camera, NetworkStream, OpenCvCamera
from trishift.streaming.reader import NewestFrames, reconnecting, strided
from trishift.streaming.recording import Recording
from trishift.streaming.source import Frame, Source, paced
from trishift.streaming.sources import open_source

PICTURE = np.zeros((4, 4, 3), np.uint8)


class Scripted(Source):
    """A live source whose connections yield a given number of frames, or drop with a given message."""

    name, live = "scripted", True

    def __init__(self, *connections: int | str) -> None:
        self.connections = list(connections)

    def frames(self) -> Iterator[Frame]:
        plan = self.connections.pop(0) if self.connections else "gone"
        if isinstance(plan, str):
            raise DataError(f"{self.name}: {plan}")
        yield from (Frame(PICTURE, number, number / 30) for number in range(plan))


class Metronome:
    """Yields frames on request; `give` returns once the reader has read them all."""

    def __init__(self) -> None:
        self.wanted = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)

    def __iter__(self) -> Iterator[Frame]:
        for number in range(10**9):
            self.asked.release()  # the reader has taken the previous frame
            self.wanted.acquire()
            yield Frame(PICTURE, number, number / 30)

    def give(self, count: int) -> None:
        for _ in range(count):
            self.asked.acquire()
            self.wanted.release()
        self.asked.acquire()
        self.asked.release()


def test_slow_consumer_gets_the_newest_frame() -> None:
    metronome = Metronome()
    reader = NewestFrames(metronome)
    threading.Thread(target=metronome.give, args=(1,), daemon=True).start()
    frames = iter(reader)
    assert next(frames).number == 0
    for behind in (1, 7, 30, 300):  # frames that arrive while the consumer is busy
        newest = reader.newest + behind
        metronome.give(behind)
        assert reader.newest == newest
        assert next(frames).number == newest
    assert reader.dropped == 0 + 6 + 29 + 299


def test_reader_ends_with_its_source_and_forwards_errors() -> None:
    assert [frame.number for frame in NewestFrames(Scripted(1).frames())] == [0]
    with pytest.raises(DataError, match="scripted: unplugged"):
        list(NewestFrames(Scripted("unplugged").frames()))


def test_rejects_silent_source() -> None:
    with pytest.raises(DataError, match=r"no frame arrived for 0\.05 s"):
        list(NewestFrames(Metronome(), timeout=0.05))


def test_dropped_source_is_reopened() -> None:
    told: list[str] = []
    source = Scripted(2, "cable pulled", 3, "cable pulled", "cable pulled", "cable pulled")
    frames = reconnecting(source, 2, wait=0, notify=told.append)
    seen = [(next(frames).number, frame_connection) for frame_connection in (0, 0)]
    rest = [next(frames) for _ in range(3)]
    assert seen == [(0, 0), (1, 0)]
    assert [(frame.number, frame.connection) for frame in rest] == [(2, 2), (3, 2), (4, 2)]
    with pytest.raises(DataError, match="cable pulled; gave up after 2 attempts"):
        next(frames)
    assert told[0] == "scripted: ended; trying again"


def test_no_reconnection_without_attempts() -> None:
    assert len(list(reconnecting(Scripted(4), 0))) == 4
    with pytest.raises(DataError, match=r"scripted: unplugged$"):
        list(reconnecting(Scripted("unplugged"), 0))


@pytest.mark.parametrize("name", ["h264_b_frames.mp4", "h264.ts", "vp9.webm"])
def test_recording_yields_every_frame_in_order(tmp_path: Path, name: str) -> None:
    source = open_source(str(VIDEOS[name](tmp_path / name)))
    frames = list(source.frames())
    assert not source.live
    assert [shown_number(frame.image) for frame in frames] == list(range(NUM_FRAMES))
    assert [frame.number for frame in frames] == list(range(NUM_FRAMES))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(NUM_FRAMES) / 25, abs=0.002)


@pytest.mark.parametrize("name", ["h264_b_frames.mp4", "h264_open_gop.mkv", "vp9.webm", "mpeg1.mpg"])
@pytest.mark.parametrize("part", ["", "#frames=7,35"])
def test_recording_continues_from_a_time(tmp_path: Path, name: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording(Path(f"{VIDEOS[name](tmp_path / name)}{part}"))
    whole = {frame.number: frame for frame in recording.frames()}
    decoded: list[int] = []
    decode = video._decode
    monkeypatch.setattr(video, "_decode", lambda *packet: [decoded.append(0) or each for each in decode(*packet)])
    first, *rest = recording.frames_from(0.9)
    numbers = [frame.number for frame in rest]
    assert first.number == min(whole) and numbers == list(range(numbers[0], max(whole) + 1))
    assert whole[numbers[0]].time < first.time + 0.9
    for frame in (first, *rest):
        assert frame.time == pytest.approx(whole[frame.number].time, abs=1e-9)
        assert np.array_equal(frame.image, whole[frame.number].image)
    assert (len(decoded) < NUM_FRAMES) == (name in ("h264_b_frames.mp4", "vp9.webm")), "the first two files seek far"


def test_recording_applies_rotation_and_reads_frame_folders(tmp_path: Path) -> None:
    turned = encode(tmp_path / "turned.mp4", "libx264", num_frames=2, rotation=90)
    assert next(Recording(turned).frames()).image.shape == (WIDTH, HEIGHT, 3)
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(1, 4):
        Image.new("RGB", (8, 6), (number, 0, 0)).save(folder / f"img_{number:05d}.png")
    frames = list(open_source(str(folder)).frames())
    assert [frame.image[0, 0, 0] for frame in frames] == [1, 2, 3]
    assert [frame.time for frame in frames] == pytest.approx([0, 1 / 30, 2 / 30])


def test_resolution_may_change_within_a_recording(tmp_path: Path) -> None:
    both = tmp_path / "both.ts"
    parts = [encode(tmp_path / f"{zoom}.ts", "libx264", num_frames=5, zoom=zoom) for zoom in (1, 2)]
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    sizes = [frame.image.shape for frame in Recording(both).frames()]
    assert sizes == [(HEIGHT, WIDTH, 3)] * 5 + [(2 * HEIGHT, 2 * WIDTH, 3)] * 5


def test_stride_skips_frames() -> None:
    assert [frame.number for frame in strided(Scripted(8).frames(), 3)] == [0, 3, 6]


def test_pacing_keeps_all_frames_in_order() -> None:
    assert [frame.number for frame in paced(Scripted(4).frames())] == [0, 1, 2, 3]


def test_source_type_follows_from_its_name() -> None:
    assert isinstance(open_source("0"), Camera | OpenCvCamera)
    assert isinstance(open_source("rtsp://host/live"), NetworkStream)
    assert isinstance(open_source("7.mp4"), Recording)


def test_errors_name_the_missing_source(tmp_path: Path) -> None:
    cases = {
        "98": "camera 98: cannot be opened",
        "http://127.0.0.1:9/x": "http://127.0.0.1:9/x: cannot be opened (Connection refused)",
        "nonsense://x": "nonsense://x: cannot be opened",
        str(tmp_path / "gone.mp4"): "gone.mp4: cannot be read (No such file",
    }
    for text, message in cases.items():
        with pytest.raises(DataError) as error:
            next(iter(open_source(text, timeout=2).frames()))
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_opencv_camera(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    recording = VIDEOS["mjpeg.avi"](tmp_path / "mjpeg.avi")
    frames = list(OpenCvCamera(str(recording)).frames())
    assert [shown_number(frame.image) for frame in frames] == list(range(NUM_FRAMES))
    with pytest.raises(DataError, match="camera 98: cannot be opened"):
        next(OpenCvCamera(98).frames())


def test_missing_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(FrameworkError, match=r"\[demo\]"):
        OpenCvCamera(0)


def test_recordings_by_url_lose_no_frame(tmp_path: Path) -> None:
    clip = VIDEOS["h264_b_frames.mp4"](tmp_path / "a clip.mp4")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a%20clip.mp4"
        for name in (f"file://{clip}", clip.as_uri(), url):
            source = open_source(name)
            assert not source.live
            assert [shown_number(frame.image) for frame in source.frames()] == list(range(NUM_FRAMES))
        assert open_source(url, live=True).live
        server.shutdown()
    assert not open_source("rtsp://host/recording", live=False).live
    assert open_source("udp://host:1").live


def test_a_source_without_a_frame_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NetworkStream, "_open", lambda self: nullcontext())
    monkeypatch.setattr("trishift.streaming.live._decode", lambda container: iter(()))
    with pytest.raises(DataError, match=r"ended without a frame; .* or --recording if it is one"):
        list(open_source("http://host/short.mp4", live=True).frames())


@pytest.mark.parametrize("text", ["9" * 5000, "x" * 5000, "file://%00", "a/" + "x" * 300, "file://" + "x" * 300])
def test_rejects_impossible_paths_in_one_line(text: str) -> None:
    with pytest.raises(DataError) as error:
        next(iter(open_source(text).frames()))
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
