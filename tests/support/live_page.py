"""A real browser that opens the page, with a camera that plays a clip."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fastapi import FastAPI, Request
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.support.paths import ROOT
from tests.support.web import served

from trishift.errors import FrameworkError
from trishift.serving import site
from trishift.serving.guard import Guard, allowed_hosts
from trishift.serving.metrics import Metrics

HARNESS = ROOT / "tests/serving/harness"
SECONDS = 120  # for the whole run; it takes a tenth of that
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """The browser's path; without it, or without the page's runtime, the test is skipped."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    try:
        site.check_runtime()
    except FrameworkError as error:
        pytest.skip(str(error))
    return found


def watch(app: ASGIApp, frames: np.ndarray, folder: Path, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """Serve an application, open its page in a browser, and return what that saw, see harness.js.

    Args:
        app: with the page.
        frames: (F, H, W, 3) uint8 RGB, which the camera plays in a loop.
        folder: for the browser's files.
        given: frames that the page's modules also classify, see harness.js.
    """
    write_camera(folder / "camera.y4m", frames)
    received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    harness, lines = FastAPI(), list[str]()

    @harness.get("/harness/frames.json")
    async def send() -> dict[str, Any] | None:
        return given

    @harness.post("/harness/result")
    async def receive(request: Request) -> None:
        received.put(await request.body())

    harness.mount("/harness", StaticFiles(directory=HARNESS, html=True))
    guarded = Guard(harness, allowed_hosts("127.0.0.1"), 2**20, site.HEADERS, Metrics(), lines.append)

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        inside = scope["type"] == "http" and scope["path"].startswith("/harness")
        await (guarded if inside else app)(scope, receive, send)

    with served(both) as port:
        process = _opened(f"http://127.0.0.1:{port}/harness/", folder)
        try:
            found: dict[str, Any] = json.loads(received.get(timeout=SECONDS))
        except queue.Empty:
            pytest.fail("the browser reported nothing; it asked for:\n" + "\n".join(lines))
        finally:
            process.kill()
            process.wait()
    assert "error" not in found, found["error"]
    return found


def write_camera(path: Path, frames: np.ndarray) -> None:
    """Write the frames in the format that Chromium's fake camera reads, in a loop."""
    height, width = frames.shape[1:3]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F12:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            planes = av.VideoFrame.from_ndarray(frame).reformat(format="yuvj420p").to_ndarray()
            file.write(b"FRAME\n" + planes.tobytes())


def _opened(address: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            find_chromium(),
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}"),
            *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
            f"--use-file-for-fake-video-capture={folder / 'camera.y4m'}",
            *("--remote-debugging-port=0", address),  # without it, the browser would end after loading
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
