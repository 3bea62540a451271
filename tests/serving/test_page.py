"""The page in a browser: the classes it shows, and the same pixels and logits as `trishift stream`."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.live_page import find_chromium, watch

import trishift
from trishift.data.gestures import make_gestures
from trishift.data.lists import read_labels
from trishift.data.sources import open_clip
from trishift.data.transforms import evaluation_crops
from trishift.serving import browser, site
from trishift.serving.guard import Guard, allowed_hosts
from trishift.serving.metrics import Metrics
from trishift.serving.service import Limits, make_service

HERE = Path(__file__).parent
MODEL = HERE / "online.onnx"  # a tiny online TSM, see README.md
SIZE = 96  # of the camera's pictures


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, np.ndarray]:
    """The class and the frames of a gesture, whose reverse is another class."""
    folder = tmp_path_factory.mktemp("camera")
    gestures = make_gestures(folder, train=18, val=18, size=SIZE, workers=1)
    name, _, label = gestures.val_list.read_text().splitlines()[2].split()
    with open_clip(folder / name) as source:
        return read_labels(gestures.labels)[int(label)], source.read(range(source.num_frames))


@pytest.fixture(scope="module")
def report(clip: tuple[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser found, see harness.js."""
    find_chromium()
    folder, frames = tmp_path_factory.mktemp("page"), clip[1]
    browser.write_browser_model(browser.examined(MODEL), MODEL, "<i>online</i>", folder)
    rgba = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=3)
    texts = [base64.b64encode(frame.tobytes()).decode() for frame in rgba]
    pixels = json.loads((folder / "model.json").read_text())["input"]
    metrics = Metrics()
    service = make_service({}, Limits(), metrics)
    site.add_page(service, folder)
    app = Guard(service, allowed_hosts("127.0.0.1"), 2**20, site.HEADERS, metrics, lambda line: None)
    return watch(app, frames, folder, {"frames": texts, "width": SIZE, "height": SIZE, "input": pixels})


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
