"""Passwords and tokens in addresses open videos and reach no output: neither files nor their names, nor messages."""

from __future__ import annotations

import base64
import io
import itertools
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from testing.encoded_clips import encode
from tests.support.command_line import command, error_line
from tests.support.file_server import FileServer, Handler, plain, serving
from tests.support.object_store import forget_stores
from tests.support.tiny import write_recipe

from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.data.prepare.shards import prepare_shards
from trishift.io.storage import remote
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

PASSWORD, TOKEN = "hunter2", "t0psecret"
_FORMATS = ("jsonl", "csv", "json", "parquet", "pkl")
_TIMELINES = ("json", "jsonl", "csv", "srt", "vtt", "eaf", "html", "mp4")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, and the current folder."""
    pytest.importorskip("aiohttp")
    spec, labels = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(4)), ("up", "down", "still")
    tensors = open_session("pytorch", spec).dump_tensors()
    meta = {"window": 0.4}
    canonical.save(
        tmp_path / "model.safetensors", Checkpoint(tensors, spec, InputSpec(resize=36, crop=32), labels, meta)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(remote, "_PAUSE", 0.01)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[FileServer]:
    """Two videos for those who know the password."""
    encode(folder / "video.mp4", "libx264", num_frames=40)
    with serving() as running:
        for name in ("/one.mp4", "/two.mp4"):
            running.files[name] = (folder / "video.mp4").read_bytes()
            running.always[name] = locked
        forget_stores()
        yield running
    (folder / "video.mp4").unlink()


def locked(handler: Handler, content: bytes | None) -> None:
    wanted = "Basic " + base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    if handler.headers.get("Authorization") == wanted:
        return plain(handler, content)
    handler.reply(401, WWW_Authenticate='Basic realm="clips"')


def addresses(server: FileServer, token: str = TOKEN) -> list[str]:
    """Of both videos and one that is missing."""
    root = server.url.replace("://", f"://ann:{PASSWORD}@")
    return [f"{root}/{name}.mp4?sig={token}" for name in ("one", "two", "gone")]


def write_list(folder: Path, server: FileServer, token: str = TOKEN) -> str:
    path = folder / "list.in"
    path.write_text("".join(f"{address}\n" for address in addresses(server, token)))
    return f"--filelist={path}"


def texts(folder: Path) -> Iterator[str]:
    """Names and contents of all files but the lists that the tests wrote; packed ones are opened."""
    for path in (path for path in folder.rglob("*") if path.suffix != ".in" and path.name != "netrc"):
        yield str(path)
        if path.is_dir():
            continue
        content = path.read_bytes()
        yield content.decode("latin1")
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                yield from (packed.read(name).decode("latin1") for name in packed.namelist())
        if path.suffix == ".parquet":
            yield str(pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist())


def check_clean(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Look for secrets in all files and in what was printed, which is returned."""
    found = list(texts(folder))
    shown = capsys.readouterr()
    for text in (*found, shown.out, shown.err):
        for secret in (PASSWORD, TOKEN):
            place = text.find(secret)
            assert place < 0, text[max(0, place - 200) : place + 50]
    assert any("one.mp4" in text for text in found)
    return shown.out + shown.err


@pytest.mark.parametrize("suffix", _FORMATS)
def test_predictions(folder: Path, server: FileServer, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    words = ("infer", "--checkpoint", "model.safetensors", "--output", f"out/found.{suffix}")
    assert command(*words, write_list(folder, server)) == 0
    assert f"{server.url}/gone.mp4?sig=...," in (folder / f"out/found.{suffix}.missing.csv").read_text()
    assert "complete already" not in check_clean(folder, capsys)
    assert command(*words, write_list(folder, server, "t0psecret-renewed")) == 0
    assert "complete already" in check_clean(folder, capsys)


def test_a_journal_that_is_continued(
    folder: Path, server: FileServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trishift.io.jobs import Job

    add, calls = Job.add, itertools.count()

    def broken(self: Job, *arguments: object) -> None:
        if next(calls):
            raise KeyboardInterrupt
        add(self, *arguments)  # type: ignore[arg-type]

    words = ("infer", "--checkpoint", "model.safetensors", "--batch-size", 1, "--output", "out/found.jsonl")
    with monkeypatch.context() as patch:
        patch.setattr(Job, "add", broken)
        assert command(*words, write_list(folder, server)) == 130
    check_clean(folder, capsys)
    assert command(*words, write_list(folder, server, "t0psecret-renewed")) == 0
    assert "continued, 1 of 3 videos done" in check_clean(folder, capsys)
    names = [json.loads(line)["video"] for line in (folder / "out/found.jsonl").read_text().splitlines()]
    assert names == [f"{server.url}/{name}.mp4?sig=..." for name in ("one", "two")]


def test_features(folder: Path, server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("features", "--checkpoint", "model.safetensors", "--output", "out")
    assert command(*words, write_list(folder, server)) == 0
    assert command(*words, write_list(folder, server, "t0psecret-renewed")) == 0
    assert "3 videos, 2 of them complete" in check_clean(folder, capsys)


def test_addresses_that_differ_only_in_tokens_are_told_apart(folder: Path, server: FileServer) -> None:
    server.files["/v"] = (folder / "video.mp4").read_bytes()
    words = ("--checkpoint", "model.safetensors", "--batch-size", 1)

    def predicted(*keys: str) -> list[str]:
        (folder / "list.in").write_text("".join(f"{server.url}/v?key={key}\n" for key in keys))
        output = ("--output", "out/found.jsonl", "--overwrite")
        assert command("infer", *words, *output, f"--filelist={folder / 'list.in'}") == 0
        return [json.loads(line)["video"] for line in (folder / "out/found.jsonl").read_text().splitlines()]

    one, other, again = predicted("a", "b", "a")
    assert one == again != other
    assert all(name.startswith(f"{server.url}/v?key=... (") for name in (one, other))
    assert predicted("b", "a") == [other, one]
    assert predicted("a", "a") == [f"{server.url}/v?key=..."] * 2
    predicted("b", "a")
    assert command("features", *words, "--output", "out/features", f"--filelist={folder / 'list.in'}") == 0
    assert {path.name for path in (folder / "out/features").rglob("*.npz")} == {
        f"{name.rpartition('/')[2]}.npz" for name in (one, other)
    }


@pytest.mark.parametrize("listed", [True, False])
def test_timelines(folder: Path, server: FileServer, capsys: pytest.CaptureFixture[str], *, listed: bool) -> None:
    outputs = [f"out/{{name}}.{suffix}" for suffix in (_TIMELINES if listed else _TIMELINES[:-1])]
    videos = [write_list(folder, server)] if listed else addresses(server)
    words = ("timeline", *videos, "--checkpoint", "model.safetensors", "--hop", 0.2, "--output", *outputs)
    assert command(*words) == 0
    assert "out/timelines.missing.csv" in "".join(texts(folder))
    check_clean(folder, capsys)
    assert command(*words) == 0
    check_clean(folder, capsys)


def test_shards(folder: Path, server: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "list.in").write_text("".join(f"{address} 0\n" for address in addresses(server)[:2]))
    prepare_shards([folder / "list.in"], folder / "out")
    (folder / "out/list.in").rename(folder / "out/list.txt")
    check_clean(folder, capsys)


def test_training_and_evaluation(
    folder: Path, gestures: Path, server: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in gestures.rglob("*"):
        if file.is_file():
            name = f"/data/{file.relative_to(gestures).as_posix()}"
            server.files[name], server.always[name] = file.read_bytes(), locked
    lines = [line for line in (gestures / "train.txt").read_text().splitlines() if line]
    server.files["/data/train.txt"] = "\n".join([*lines, f"train/one.mp4?sig={TOKEN} 12 0", ""]).encode()
    root = server.url.replace("://", f"://ann:{PASSWORD}@") + "/data"
    recipe = write_recipe(folder / "tiny.in", gestures)
    words = ("train", "--config", recipe, "--output", "run", "--device", "cpu", "data.on_error=skip")
    assert command(*words, f"data.root={root}", "train.epochs=2", "--until", 1) == 0
    assert "/data/train/one.mp4?sig=..." in (folder / "run/skipped.txt").read_text()
    check_clean(folder, capsys)
    assert command("train", "--resume", "run", "--device", "cpu") == 1
    assert "access is denied (401" in (line := error_line(capsys)) and "write user and password into ~/.netrc" in line
    (folder / "netrc").write_text(f"machine 127.0.0.1 login ann password {PASSWORD}\n")
    (folder / "netrc").chmod(0o600)
    assert command("train", "--resume", "run", "--device", "cpu") == 0
    assert command("eval", "--checkpoint", "run", "--device", "cpu", "--output", "out/result.json") == 0
    words = ("--checkpoint", "run", "--device", "cpu", "--output", "out/again.json", f"data.root={root}")
    assert command("eval", *words) == 0
    check_clean(folder, capsys)


def test_keys_before_a_bucket_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("infer", "--checkpoint", "model.safetensors", f"s3://ann:{PASSWORD}@bucket/clip.mp4") == 1
    line = error_line(capsys)
    assert "s3://bucket/clip.mp4: had keys before the bucket" in line and "AWS_ACCESS_KEY_ID" in line
    assert PASSWORD not in line
