"""`trishift serve` and `trishift demo`: wrong arguments are one line, before models load or folders are written."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from starlette.types import ASGIApp
from testing.encoded_clips import VIDEOS
from tests.support.command_line import command, error_line
from tests.support.installed import MISSING
from tests.support.web import request, served

from trishift.checkpoints import Checkpoint, canonical
from trishift.commands.shared import servers
from trishift.model.initialization import initial_tensors
from trishift.model.spec import HeadSpec, InputSpec, ModelSpec, ShiftSpec
from trishift.serving import browser, running, site
from trishift.serving.running import bind

ONLINE = Path(__file__).parents[1] / "serving" / "online.onnx"
SPECS = {
    "tsm": ModelSpec("resnet10", 2, 4, width=4, shift=ShiftSpec(4)),
    "online": ModelSpec("resnet10", 2, 4, width=4, shift=ShiftSpec(4, "unidirectional")),
    "trn": ModelSpec("resnet10", 2, 4, width=4, head=HeadSpec("relation", relation_width=8)),
    "flow": ModelSpec("resnet10", 2, 4, in_channels=10, width=4),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    for name, spec in SPECS.items():
        pixels = (
            InputSpec("flow", 36, 32, mean=(0.5,) * 2, std=(0.2,) * 2) if name == "flow" else InputSpec("rgb", 36, 32)
        )
        canonical.save(folder / f"{name}.safetensors", Checkpoint(initial_tensors(spec, 0), spec, pixels, ("a", "<b>")))
    return folder


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["serve", "tsm", "tsm"], "another model is named tsm; write NAME="),
        (["serve", "x=tsm", "x=trn"], "another model is named x; write NAME="),
        (["serve", "tsm", "--queue", "0"], "--queue must be 1 or more, not 0"),
        (["serve", "tsm", "--batch", "0"], "--batch must be 1 or more, not 0"),
        (["serve", "tsm", "--wait-ms", "-1"], "--wait-ms must not be negative"),
        (["serve", "tsm", "--timeout", "0"], "--timeout must be positive, not 0"),
        (["serve", "tsm", "--max-mb", "nan"], "--max-mb must be positive, not nan"),
        (["serve", "tsm", "--port", "70000"], "--port 70000: must be 0 to 65535"),
        (["serve", "missing"], "missing.safetensors: no such file"),
        (["serve", "tsm", "--protocol", "tenn"], "protocol 'tenn' is unknown; did you mean 'ten'?"),
        (["demo", "tsm", "--checkpoint", "tsm"], "--checkpoint: the weights are given twice; leave one out"),
        (
            ["demo", "tsm", "--export", "site"],
            "its shift is bidirectional, so no browser can run it; train or fine-tune one with "
            "model.shift.direction=unidirectional, or leave out --export, and this machine runs it",
        ),
        (["demo", "tsm", "--export", "."], ".: has other files than a page; name a new folder"),
        (["demo", "tsm", "--export", ".", "--force"], ".: has other files than a page; name a new folder"),
        (["demo", "tsm", "--force"], "--force: has no effect without --export; remove it"),
        (["demo", "missing"], "missing.safetensors: no such file"),
    ],
)
def test_wrong_arguments_are_one_line(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(site, "check_runtime", lambda: None)
    models = {name: f"{name}.safetensors" for name in (*SPECS, "missing")}
    models |= {"x=tsm": "x=tsm.safetensors", "x=trn": "x=trn.safetensors"}
    assert command(*(models.get(word, word) for word in arguments)) == 1
    assert text in error_line(capsys)
    assert not Path("site").exists()


@pytest.mark.parametrize("name", ["serve", "demo"])
def test_port_in_use_is_said_before_models_load(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canonical, "load", None)
    with bind("127.0.0.1", 0) as taken:
        assert command(name, folder / "tsm.safetensors", "--port", taken.getsockname()[1]) == 1
    assert "Address already in use" in error_line(capsys)


def test_missing_package_names_the_extra(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_PACKAGES", ("fastapi", "no_such_package"))
    assert command("serve", folder / "tsm.safetensors") == 1
    assert error_line(capsys).endswith(
        "no_such_package is not installed; in the Trishift repository, run: pip install '.[serve]'"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tsm", "its shift is bidirectional"),
        ("trn", "its relations need all frames of a clip"),
        ("flow", "it takes flow of several frames, not single pictures"),
    ],
)
def test_models_that_browsers_cannot_run_say_why(folder: Path, tmp_path: Path, name: str, reason: str) -> None:
    examined = browser.examined(folder / f"{name}.safetensors")
    assert (browser.obstacle(examined) or ("",))[0] == reason
    browser.write_server_model(examined, name, tmp_path)
    assert json.loads((tmp_path / "model.json").read_text())["labels"] == ["a", "<b>"]


@pytest.mark.skipif("pytorch" in MISSING, reason="pytorch is not installed")
def test_commands_answer(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    video = VIDEOS["h264.mp4"](folder / "clip.mp4").read_bytes()
    answers = []

    def run(app: ASGIApp, bound: socket.socket, patience: float) -> None:
        bound.close()
        with served(app) as port:
            answers.append(request(port, "POST", "/v1/predict?model=tsm", video, Content_Type="video/mp4")[:2])
            answers.append(request(port, "GET", "/model/model.json")[:2])

    monkeypatch.setattr(running, "run", run)
    assert command("serve", folder / "online.safetensors", folder / "tsm.safetensors", "--port", 0, "--batch", 2) == 0
    assert command("demo", folder / "tsm.safetensors", "--port", 0) == 0
    served_answer, missing, demo_answer, description = answers
    assert served_answer == demo_answer
    assert (served_answer[0], served_answer[1]["model"]) == (200, "tsm")
    assert missing[0] == 404
    assert "its shift is bidirectional" in description[1]["reason"]
    assert "serving online, tsm on http://127.0.0.1:" in capsys.readouterr().out


def test_demo_exports_a_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(site, "check_runtime", lambda: None)
    assert command("demo", ONLINE, "--export", tmp_path / "site") == 0
    files = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*")}
    assert {
        "index.html",
        "app.js",
        "worker.js",
        "style.css",
        "_headers",
        "model/model.json",
        "model/model.onnx",
    } <= files
    assert "Cross-Origin-Embedder-Policy: require-corp" in (tmp_path / "site/_headers").read_text()
    description = json.loads((tmp_path / "site/model/model.json").read_text())
    assert len(description["proof"]) == 2
    assert len(description["proof"][0]) == len(description["labels"])
    assert description["bytes"] == ONLINE.stat().st_size
    (tmp_path / "site" / "CNAME").write_text("example.org")
    assert command("demo", ONLINE, "--export", tmp_path / "site") == 1
    assert "site: has a page already; name a new folder, or replace it with --force" in error_line(capsys)
    (tmp_path / "site/index.html").unlink()
    assert command("demo", ONLINE, "--export", tmp_path / "site", "--force") == 0
    assert (tmp_path / "site/index.html").is_file() and (tmp_path / "site/CNAME").is_file()  # of the user's web host


def test_missing_runtime_names_the_script(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "_RUNTIME", tmp_path)
    assert command("demo", ONLINE, "--export", tmp_path / "site") == 1
    assert error_line(capsys).endswith(f"run: bash scripts/web_assets.sh '{tmp_path}'")
