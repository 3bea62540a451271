"""The page in a browser: the classes it shows, and the same pixels and logits as `trishift stream`."""

from __future__ import annotations

import base64
import json
import queue
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fastapi import Request
from starlette.staticfiles import StaticFiles
from tests.support.web import served

import trishift
from trishift.data.gestures import make_gestures
from trishift.data.lists import read_labels
from trishift.data.sources import open_clip
from trishift.data.transforms import evaluation_crops
from trishift.errors import FrameworkError
from trishift.serving import browser, site
from trishift.serving.guard import Guard, allowed_hosts
from trishift.serving.metrics import Metrics
from trishift.serving.service import Limits, make_service

HERE = Path(__file__).parent
MODEL = HERE / "online.onnx"  # a tiny online TSM, see README.md
SIZE = 96  # of the camera's pictures
SECONDS = 120  # for the whole run; it takes a tenth of that
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    try:
        site.check_runtime()
    except FrameworkError as error:
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """The class and the frames of a gesture, whose reverse is another class."""
    folder = tmp_path_factory.mktemp("camera")
    gestures = make_gestures(folder, train=18, val=18, size=SIZE, workers=1)
    name, _, label = gestures.val_list.read_text().splitlines()[2].split()
    with open_clip(folder / name) as source:
        return read_labels(gestures.labels)[int(label)], source.read(range(source.num_frames))


def write_camera(path: Path, frames: np.ndarray) -> None:
    """Write the frames in the format that Chromium's fake camera reads, in a loop."""
    height, width = frames.shape[1:3]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F12:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            planes = av.VideoFrame.from_ndarray(frame).reformat(format="yuvj420p").to_ndarray()
            file.write(b"FRAME\n" + planes.tobytes())


def opened(chromium: str, address: str, camera: Path, profile: Path) -> subprocess.Popen[bytes]:
    """Start a browser whose camera plays a file."""
    return subprocess.Popen(
        [
            chromium,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"),
            *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
            f"--use-file-for-fake-video-capture={camera}",
            *("--remote-debugging-port=0", address),  # without it, the browser would end after loading
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def report(chromium: str, clip: tuple[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser found, see harness.js."""
    folder = tmp_path_factory.mktemp("page")
    write_camera(folder / "camera.y4m", clip[1])
    browser.write_browser_model(browser.examined(MODEL), MODEL, "<i>online</i>", folder)
    received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    metrics = Metrics()
    service = make_service({}, Limits(), metrics)

    @service.get("/harness/frames.json")
    async def frames() -> dict[str, Any]:
        rgba = np.concatenate([clip[1], np.full_like(clip[1][..., :1], 255)], axis=3)
        texts = [base64.b64encode(frame.tobytes()).decode() for frame in rgba]
        pixels = json.loads((folder / "model.json").read_text())["input"]
        return {"frames": texts, "width": SIZE, "height": SIZE, "input": pixels}

    @service.post("/harness/result")
    async def result(request: Request) -> None:
        received.put(await request.body())

    service.mount("/harness", StaticFiles(directory=HERE / "harness", html=True))
    site.add_page(service, folder)
    lines: list[str] = []
    app = Guard(service, allowed_hosts("127.0.0.1"), 2**20, site.HEADERS, metrics, lines.append)
    with served(app) as port:
        process = opened(chromium, f"http://127.0.0.1:{port}/harness/", folder / "camera.y4m", folder / "profile")
        try:
            found = json.loads(received.get(timeout=SECONDS))
        except queue.Empty:
            pytest.fail("the browser reported nothing; it asked for:\n" + "\n".join(lines))
        finally:
            process.kill()
            process.wait()
    assert "error" not in found, found["error"]
    return found


def test_page_shows_the_gesture(report: dict[str, Any], clip: tuple[str, np.ndarray]) -> None:
    [(shown, _)] = Counter(report["shown"]).most_common(1)
    assert shown == clip[0]
    assert report["curves"] == len(report["rows"]) == 6
    assert any(row.startswith(shown) for row in report["rows"])


def test_page_runs_in_threads_and_measures_itself(report: dict[str, Any]) -> None:
    assert report["isolated"]  # which threads need
    assert report["runtime"].startswith("WebAssembly")
    assert report["fps"] > 0
    assert report["latency"] > 0


def test_pixels_equal_those_of_evaluation(report: dict[str, Any], clip: tuple[str, np.ndarray]) -> None:
    expected = evaluation_crops(clip[1], trishift.load(MODEL).input)[0]
    found = [np.frombuffer(base64.b64decode(text), np.uint8) for text in report["crops"]]
    np.testing.assert_array_equal(np.stack(found).reshape(expected.shape), expected)


def test_logits_equal_those_of_stream(report: dict[str, Any], clip: tuple[str, np.ndarray]) -> None:
    stream = trishift.load(MODEL).stream()
    expected = np.stack([stream.step_image(frame) for frame in clip[1]])
    np.testing.assert_allclose(report["logits"], expected, atol=1e-4 * np.abs(expected).max())
    assert report["opened"]["difference"] < 1e-4
