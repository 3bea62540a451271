"""Lists and videos in repositories of the Hugging Face hub, on a loopback server that speaks its interface."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.command_line import command
from tests.support.file_server import FileServer, serving
from tests.support.hub_stand_in import hub_server
from tests.support.tiny import write_recipe

from trishift.errors import DataError
from trishift.io.storage import read_bytes, remote
from trishift.io.storage.remote import RemoteFile

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """The hub, with a file in a public, a private and a gated repository."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(remote, "_PAUSE", 0.01)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere")
    with serving(hub_server()) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        for name in ("clips", "private", "gated"):
            server.files[f"datasets/me/{name}/train/a b.bin"] = CONTENT
        forget()
        yield server
    forget()


def forget() -> None:
    """Let the next request ask the hub again."""
    remote._filesystem.cache_clear()
    pytest.importorskip("huggingface_hub").HfFileSystem.clear_instance_cache()


def failure(address: str) -> str:
    with pytest.raises(DataError) as error:
        read_bytes(Path(address))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_ranges_are_read_and_versions_told_apart(hub: FileServer) -> None:
    stored = RemoteFile.of("hf://datasets/me/clips/train/a b.bin")
    assert stored.size == len(CONTENT) and stored.read(1000, 1010) == CONTENT[1000:1010]
    assert [header for path, header in hub.requests if "resolve" in path] == ["bytes=1000-1009"]
    assert read_bytes(Path("hf://datasets/me/clips@main/train/a b.bin")) == CONTENT
    hub.files["datasets/me/clips/train/a b.bin"] = CONTENT[::-1]
    forget()
    assert RemoteFile.of("hf://datasets/me/clips/train/a b.bin").identity != stored.identity


def test_private_gated_and_missing_files_are_named(hub: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "hf://datasets/me/{}/train/a b.bin"
    login = "run hf auth login, or set HF_TOKEN"
    private = "does not exist, or is private; check the address, or "
    for place, message in (
        ("hf://datasets/me/clips/train/c.bin", "does not exist; check the address"),
        ("hf://datasets/me/clips/other/c.bin", "does not exist; check the address"),
        ("hf://datasets/me/clips@v2/train/a b.bin", "does not exist; check the address"),
        ("hf://datasets/me/nothing/c.bin", private + login),
        (address.format("private"), private + login),
    ):
        assert failure(place) == f"{place}: {message}"
    message = failure(address.format("gated"))
    assert message.startswith("hf://datasets/me/gated/train/a b.bin: access is denied (403") and login in message
    assert failure("hf://datasets/me/clips/train").startswith("hf://datasets/me/clips/train: is a folder")
    assert failure("hf://clips.bin").endswith("; write hf://datasets/OWNER/NAME/FILE")
    monkeypatch.setenv("HF_TOKEN", "secret")
    forget()
    for name in ("private", "gated"):
        assert read_bytes(Path(address.format(name))) == CONTENT


def test_a_slow_hub_is_given_up(hub: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = RemoteFile.of("hf://datasets/me/clips/train/a b.bin")
    monkeypatch.setenv("TRISHIFT_REMOTE_TIMEOUT", "0.3")
    hub.chunk, hub.pause = 1000, 0.1
    began = time.monotonic()
    with pytest.raises(DataError, match=r"3 attempts failed: no answer within 0\.3 s"):
        stored.read(0, stored.size)
    assert time.monotonic() - began < 10


def test_lists_and_videos_in_the_hub_are_trained_on_and_predicted(
    hub: FileServer, gestures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in gestures.rglob("*"):
        if file.is_file():
            hub.files[f"datasets/me/clips/{file.relative_to(gestures).as_posix()}"] = file.read_bytes()
    recipe, root = write_recipe(tmp_path / "tiny.yaml", gestures), "hf://datasets/me/clips"
    results = []
    for name, place in (("files", str(gestures)), ("hub", root)):
        words = ("--config", recipe, "--output", tmp_path / name, "--device", "cpu", "--no-report")
        assert command("train", *words, f"data.root={place}") == 0
        results.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch 1:")])
    assert results[0] == results[1] and results[0]
    hub.files["me/weights/best.safetensors"] = (tmp_path / "hub/best.safetensors").read_bytes()
    output = tmp_path / "found.jsonl"
    words = ("--device", "cpu", f"--filelist={root}/val.txt", "--output", output)
    assert command("infer", "--checkpoint", tmp_path / "hub", *words) == 0
    assert len(output.read_text().splitlines()) == 18
