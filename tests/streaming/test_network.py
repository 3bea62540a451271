"""Network sources against local servers: MPEG-TS over HTTP and UDP (ffmpeg), RTSP (GStreamer)."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from testing.encoded_clips import HEIGHT, WIDTH, encode, shown_number
from tests.support.paths import SUPPORT

from trishift.errors import DataError
from trishift.streaming.reader import NewestFrames
from trishift.streaming.sources import open_source

SYSTEM_PYTHON = Path("/usr/bin/python3")  # the one that the distribution's GStreamer bindings are for
RTSP_PARTS_MISSING = 77
SILENCE = 3.0  # seconds until a source counts as dropped; a busy machine starts servers slowly


@contextlib.contextmanager
def running(*command: object, **options: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([str(part) for part in command], text=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def ffmpeg() -> str:
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.skip("no ffmpeg here; install the distribution's package ffmpeg")
    return found


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds with a key frame every 10 frames; the pictures show their numbers."""
    options = {"preset": "ultrafast", "x264-params": "keyint=10:scenecut=0"}
    return encode(tmp_path / "recording.ts", "libx264", options=options, num_frames=50)


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def sender(ffmpeg: str, recording: Path, *output: str) -> tuple[str, ...]:
    """Command that sends the recording in real time, in a loop."""
    loop = ("-re", "-stream_loop", "-1", "-i", str(recording))
    return (ffmpeg, "-v", "quiet", "-nostdin", *loop, "-c", "copy", "-f", "mpegts", *output)


def first_frames(source: str, count: int) -> list[int]:
    """Numbers shown in the first `count` frames; closes the source afterwards."""
    shown = []
    for frame in open_source(source, timeout=20).frames():
        assert frame.image.shape == (HEIGHT, WIDTH, 3)
        shown.append(shown_number(frame.image))
        if len(shown) == count:
            break
    return shown


def test_http(ffmpeg: str, recording: Path) -> None:
    url = f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}/live.ts"
    with running(*sender(ffmpeg, recording, "-listen", "1", url)):
        wait_for_listener(url)
        shown = first_frames(url, 15)
    assert shown == list(range(shown[0], shown[0] + 15))


def wait_for_listener(url: str) -> None:
    """Wait until ffmpeg listens. It serves only one client, so this reads the kernel's table instead of connecting."""
    port = f":{int(url.split(':')[2].split('/')[0]):04X} 00000000:0000 0A"
    for _ in range(200):
        if port in Path("/proc/net/tcp").read_text():
            return
        time.sleep(0.05)
    pytest.fail("ffmpeg does not listen")


def test_udp_joins_midway_and_detects_end(ffmpeg: str, recording: Path) -> None:
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}?pkt_size=1316"
    with running(*sender(ffmpeg, recording, url)) as process:
        frames = iter(open_source(url, timeout=SILENCE).frames())
        shown = [shown_number(next(frames).image) for _ in range(12)]
        assert shown == [(shown[0] + i) % 50 for i in range(12)]
        process.kill()
        with pytest.raises(DataError, match=r"udp.*dropped \(silent for 3 s\); check the address"):
            list(frames)


def test_times_out_without_sender() -> None:
    url = f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    with pytest.raises(DataError, match=r"cannot be opened \(silent for 0\.5 s\)"):
        next(open_source(url, timeout=0.5).frames())


def test_rtsp_and_camera_switched_off() -> None:
    if not SYSTEM_PYTHON.exists():
        pytest.skip(f"no {SYSTEM_PYTHON} here")
    server = SUPPORT / "rtsp_server.py"
    with running(SYSTEM_PYTHON, server, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if process.poll() == RTSP_PARTS_MISSING or not url:
            pytest.skip(
                "no GStreamer RTSP server here; install gir1.2-gst-rtsp-server-1.0, python3-gi and good plugins"
            )
        frames = iter(NewestFrames(open_source(url, timeout=SILENCE).frames(), timeout=20))
        taken = [next(frames) for _ in range(10)]
        assert taken[0].image.shape == (HEIGHT, WIDTH, 3)
        assert [frame.number for frame in taken] == sorted({frame.number for frame in taken})
        process.kill()
        try:
            rest = list(frames)  # a closed connection ends the source,
        except DataError as error:
            assert "dropped" in str(error)  # a broken one is an error
        else:
            assert len(rest) < 30 * SILENCE
