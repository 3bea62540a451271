"""The service over HTTP: its answers are those of `trishift infer`, and what it refuses."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.staticfiles import StaticFiles
from testing.encoded_clips import VIDEOS
from tests.support.web import request, served

import trishift
from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.data.sources import open_clip
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.serving.guard import Guard, allowed_hosts
from trishift.serving.metrics import Metrics
from trishift.serving.models import Served
from trishift.serving.service import Limits, make_service

LABELS = ("<b>up</b>", "down", "left")
LIMITS = Limits(queue=4, timeout=5.0, most_bytes=2**20)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    VIDEOS["h264.mp4"](path)
    return path


@pytest.fixture(scope="module")
def model(video: Path) -> trishift.Model:
    spec = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(4))
    tensors = open_session("pytorch", spec).dump_tensors()
    tensors["head.fc.weight"] *= 300
    checkpoint = Checkpoint(tensors, spec, InputSpec(resize=36, crop=32), LABELS)
    canonical.save(video.with_name("model.safetensors"), checkpoint)
    return trishift.load(video.with_name("model.safetensors"))


class Server:
    """A running server: its port, its lines, and the place where it waits."""

    def __init__(self, model: trishift.Model, limits: Limits, batch: int = 8) -> None:
        self.lines: list[str] = []
        self.metrics = Metrics()
        observe = self.metrics.batches.labels("tiny").observe
        self.model = Served("tiny", model, batch=batch, observe=observe)
        service = make_service({"tiny": self.model}, limits, self.metrics)
        self.app = Guard(service, allowed_hosts("127.0.0.1"), limits.most_bytes, {}, self.metrics, self.lines.append)
        self.port = 0

    def post(self, body: bytes, kind: str = "video/mp4", query: str = "", **headers: str) -> tuple[int, Any]:
        status, content, _ = request(self.port, "POST", f"/v1/predict{query}", body, Content_Type=kind, **headers)
        return status, content


@pytest.fixture(scope="module")
def server(model: trishift.Model) -> Iterator[Server]:
    server = Server(model, LIMITS)
    with served(server.app) as server.port:
        yield server


def form(*fields: tuple[str, bytes]) -> tuple[bytes, str]:
    """A multipart body with files, and its type."""
    parts = [
        f'--X\r\nContent-Disposition: form-data; name="{name}"; filename="../../{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in fields
    ]
    return b"".join(parts) + b"--X--\r\n", "multipart/form-data; boundary=X"


def encoded(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def array(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def test_answers_are_those_of_infer(server: Server, model: trishift.Model, video: Path) -> None:
    status, answer = server.post(video.read_bytes(), query="?top_k=3&logits=true")
    assert status == 200
    found = [(entry["label"], entry["probability"]) for entry in answer["predictions"]]
    assert found == model.predict(video).top(3)
    powers = np.exp(answer["logits"])
    by_class = sorted(answer["predictions"], key=lambda entry: entry["class"])
    np.testing.assert_allclose([entry["probability"] for entry in by_class], powers / powers.sum(), rtol=1e-6)


def test_forms_frames_and_arrays_are_read_alike(server: Server, video: Path) -> None:
    with open_clip(video) as clip:
        frames = clip.read(range(clip.num_frames))
    bodies = [
        (video.read_bytes(), "application/octet-stream"),
        form(("video", video.read_bytes())),
        form(*(("frames", encoded(frame)) for frame in frames)),
        (array(frames=frames), "application/x-npz"),
    ]
    answers = [server.post(*body, query="?logits=true") for body in bodies]
    assert [status for status, _ in answers] == [200] * 4
    for _, answer in answers:
        np.testing.assert_allclose(answer["logits"], answers[0][1]["logits"], rtol=1e-5)


def test_batches_change_no_logits(model: trishift.Model, video: Path) -> None:
    server = Server(model, Limits(queue=16, workers=4))
    alone = model(server.model.read(video))[0]
    with served(server.app) as server.port:
        answers: list[Any] = []
        body = video.read_bytes()
        threads = [
            threading.Thread(target=lambda: answers.append(server.post(body, query="?logits=true"))) for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [status for status, _ in answers] == [200] * 12
    for _, answer in answers:
        np.testing.assert_allclose(answer["logits"], alone, rtol=1e-5)
    assert len([line for line in server.lines if "POST /v1/predict" in line]) == 12


@pytest.mark.parametrize(
    ("body", "kind", "status", "text"),
    [
        (b"x" * (LIMITS.most_bytes + 1), "video/mp4", 413, "larger than 1 MiB"),
        (b"x", "text/html", 415, "content type 'text/html' is not supported; send video/*"),
        (b"x", "", 415, "the request has no content type; send video/*"),
        (b"x", "application/x-www-form-urlencoded", 415, "curl: -H 'Content-Type: video/mp4'"),
        (b"{}", "application/json", 415, "--allow-urls"),
        (b"no video", "video/mp4", 422, "the upload: not a video"),
        (b"", "video/mp4", 422, "the upload: the file is empty"),
        (b"PK", "application/x-npz", 422, "array: "),
        (array(frames=np.zeros((2, 4, 4), np.uint8)), "application/x-npz", 422, "(T, H, W, 3) uint8"),
        (b"x", "multipart/form-data; boundary=X", 400, "multipart"),
        (*form(("other", b"x")), 422, "form: send one file as video"),
        (*form(("video", b"x"), ("frames", b"x")), 422, "form: send one file as video"),
        (*form(("frames", b"x")), 422, "cannot be decoded"),
    ],
)
def test_wrong_bodies_are_refused(server: Server, body: bytes, kind: str, status: int, text: str) -> None:
    found, answer = server.post(body, kind)
    assert (found, text in answer["detail"]) == (status, True), answer
    assert "/tmp" not in answer["detail"]


def test_unknown_models_are_named(server: Server, video: Path) -> None:
    assert server.post(b"", query="?model=tyni") == (404, {"detail": "model 'tyni' is unknown; one of tiny"})


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("top_k=0", "parameter top_k: must be greater than or equal to 1, not '0'"),
        ("top_k=x", "parameter top_k: must be a valid integer, not 'x'"),
        ("logits=maybe", "parameter logits: must be a valid boolean, not 'maybe'"),
        ("topk=3", "parameter 'topk' is unknown; did you mean 'top_k'?"),
    ],
)
def test_wrong_queries_are_one_line(server: Server, query: str, text: str) -> None:
    assert server.post(b"", query=f"?{query}") == (422, {"detail": text})


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}])
def test_other_pages_cannot_call(server: Server, headers: dict[str, str]) -> None:
    assert server.post(b"x", **headers)[0] == 403


def test_own_page_can_call(server: Server, video: Path) -> None:
    assert server.post(video.read_bytes(), Origin=f"http://127.0.0.1:{server.port}")[0] == 200


def test_names_stay_text(server: Server) -> None:
    status, models, headers = request(server.port, "GET", "/v1/models")
    assert (status, models[0]["labels"][0]) == (200, LABELS[0])
    assert headers.get_content_type() == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_health_metrics_and_openapi(server: Server) -> None:
    assert request(server.port, "GET", "/health")[1]["models"] == ["tiny"]
    assert "trishift_predictions_in_progress 0.0" in request(server.port, "GET", "/metrics")[1]
    post = request(server.port, "GET", "/openapi.json")[1]["paths"]["/v1/predict"]["post"]
    assert "multipart/form-data" in post["requestBody"]["content"]
    assert post["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")


def test_lines_cannot_be_forged(server: Server) -> None:
    request(server.port, "GET", "/a%0Ab%1B[31m")
    end = time.monotonic() + 5
    while "/a" not in server.lines[-1] and time.monotonic() < end:  # the line follows the answer
        time.sleep(0.01)
    assert server.lines[-1].split(" ", 2)[2].startswith("GET /a\\nb\\u001b[31m 404 ")


def test_full_queue_and_slow_requests(model: trishift.Model, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(model, Limits(queue=1, timeout=0.3))
    with served(server.app) as server.port:
        slow = threading.Event()
        read = server.model.read
        monkeypatch.setattr(server.model, "read", lambda path: (slow.wait(10), read(path))[1])
        first: list[Any] = []
        thread = threading.Thread(target=lambda: first.append(server.post(video.read_bytes())))
        thread.start()
        while "trishift_predictions_in_progress 1.0" not in request(server.port, "GET", "/metrics")[1]:
            time.sleep(0.01)
        status, _, headers = request(server.port, "POST", "/v1/predict", video.read_bytes(), Content_Type="video/mp4")
        assert (status, headers["Retry-After"]) == (429, "1")
        thread.join()
        assert first == [(504, {"detail": "the prediction took longer than 0.3 s"})]
        slow.set()
        assert server.post(video.read_bytes())[0] == 200


def test_slow_uploads_end(model: trishift.Model) -> None:
    server = Server(model, Limits(timeout=0.2))
    with served(server.app) as server.port, socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\nContent-Length: 9\r\n\r\nx"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 408")


def test_addresses_are_fetched_if_allowed(model: trishift.Model, video: Path) -> None:
    server = Server(model, Limits(most_bytes=video.stat().st_size, allow_urls=True))
    (video.parent / "long.mp4").write_bytes(bytes(video.stat().st_size + 1))
    with served(StaticFiles(directory=video.parent)) as port, served(server.app) as server.port:
        answers = [
            server.post(json.dumps({"url": address}).encode(), "application/json")
            for address in (
                f"http://127.0.0.1:{port}/{video.name}",
                f"http://127.0.0.1:{port}/long.mp4",
                f"http://127.0.0.1:{port}/missing.mp4",
                video.as_uri(),
            )
        ]
        assert server.post(b"[1]", "application/json")[0] == 422
    assert [status for status, _ in answers] == [200, 413, 422, 422]
