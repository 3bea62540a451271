"""Outputs: refused before any work, written while it goes on, and printed whatever the terminal."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pytest
from testing.encoded_clips import encode
from tests.support.command_line import command

import trishift
from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.cli import run
from trishift.data.dataset import EvaluationSet
from trishift.data.lists import ClipList
from trishift.errors import DataError
from trishift.evaluation.prediction import Miss, Prediction
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

LABELS = ("caf\u00e9", "\u624b\u8bdd", "red \x1b[31m")

STATUS = re.compile(r"^device: |tensors matched$|^written: ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose class names are hard to print, and three videos."""
    folder = tmp_path_factory.mktemp("outputs")
    spec = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(4))
    tensors = open_session("pytorch", spec).dump_tensors()
    canonical.save(folder / "model.safetensors", Checkpoint(tensors, spec, InputSpec(resize=36, crop=32), LABELS))
    (folder / "videos").mkdir()
    for name in ("1", "2", "3"):
        encode(folder / f"videos/{name}.mp4", "mpeg4", num_frames=9)
    return folder


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if a video is read."""
    monkeypatch.setattr(EvaluationSet, "load", lambda *_: pytest.fail("a video was decoded"))


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on stderr that are not about the work."""
    return [line for line in capsys.readouterr().err.splitlines() if not STATUS.search(line)]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("name", "output", "message"),
    [
        ("infer", "p.mp4", "unknown format '.mp4'; use .json"),
        ("infer", "p", "unknown format ''; use .json"),
        ("infer", "taken/p.json", "cannot be written"),
        ("infer", "folder.json", "is a folder; name a file inside it"),
        ("infer", f"{'x' * 300}.json", "cannot be written"),
        ("eval", "result.txt", "unknown format '.txt'; use .json"),
        ("eval", "taken/result.json", "cannot be written"),
        ("features", "taken", "is a file; name a folder"),
        ("features", "taken/deeper", "cannot be written"),
    ],
)
@pytest.mark.usefixtures("no_decoding")
def test_bad_outputs_are_refused_before_decoding(
    folder: Path, tmp_path: Path, name: str, output: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file")
    (tmp_path / "folder.json").mkdir()
    videos = [] if name == "eval" else ["--", folder / "videos"]
    assert command(name, "--checkpoint", folder / "model.safetensors", "--output", tmp_path / output, *videos) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert files_in(tmp_path) == {"taken", "folder.json"}


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--top-k", "0"), "--top-k must be 1 or more, not 0"),
        (("--batch-size", "-1"), "--batch-size must be 1 or more"),
        (("--workers", "0"), "--workers must be 1 or more"),
        (("--shard", "3/2"), "write i/n"),
        (("--protocol", "10x4"), "with 1 or 3 or 5 or 10 crops"),
        (("--protocol", "0x3"), "unknown"),
    ],
)
def test_bad_numbers_are_refused_before_decoding(
    folder: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = folder / "model.safetensors"
    assert command("infer", "--checkpoint", checkpoint, *arguments, "--", folder / "videos") == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fuse", "export"])
def test_bad_outputs_are_refused_before_reading(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").write_text("a file")
    arguments = {
        "fuse": ("no-scores.json", "--output", tmp_path / "taken/both.json"),
        "export": ("--format", "onnx", "--checkpoint", "no-weights.pth", "--output", tmp_path / "taken"),
    }
    assert command(name, *arguments[name]) == 1
    assert "taken" in capsys.readouterr().err


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("features", ("--filelist", "missing.txt"), "missing.txt: cannot be read"),
        ("features", ("--template", "img_{:05d}.jpg"), "none of the 3 videos is a folder of frames; remove it"),
        ("infer", ("--template", "img_{:05d}.jpg", "--top-k", "2"), "none of the 3 videos is a folder of frames"),
        ("export", ("--format", "onnx", "--name", "a", "--tolerance", "1", "--calibration", "missing.txt"), "missing"),
    ],
)
def test_refusals_leave_no_empty_folder(
    name: str,
    arguments: tuple[str, ...],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "new" / ("p.json" if name == "infer" else "deeper")
    videos = [] if name == "export" else ["--", folder / "videos"]
    checkpoint = folder / "model.safetensors"
    assert command(name, "--checkpoint", checkpoint, "--output", output, *arguments, *videos) == 1
    assert message in capsys.readouterr().err and not files_in(tmp_path)


def test_missing_folders_are_made(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "new/deeper/p.json"
    assert command("predict", "--checkpoint", folder / "model.safetensors", folder / "videos", "--output", output) == 0
    assert len(json.loads(output.read_text())) == 3
    assert files_in(tmp_path / "new") == {"deeper", "deeper/p.json", "deeper/.p.json.job.jsonl"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_labels_print_in_any_encoding(
    folder: Path, tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, printed = folder / "model.safetensors", io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding))  # as PYTHONIOENCODING sets it
    output = tmp_path / "p.json"
    assert command("infer", "--checkpoint", checkpoint, folder / "videos/1.mp4", "--output", output) == 0
    text = printed.getvalue().decode(encoding)
    assert "\x1b" not in text and "\\u001b[31m" in text
    assert ("café" in text) == (encoding != "ascii")
    (written,) = json.loads(output.read_text())
    assert {p["label"] for p in written["predictions"]} == set(LABELS)


def test_file_names_cannot_add_lines(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = tmp_path / "a\nwritten: fake\x1b[2J.mp4"
    video.write_bytes((folder / "videos/1.mp4").read_bytes())
    assert command("infer", "--checkpoint", folder / "model.safetensors", video) == 0
    *_, line = capsys.readouterr().out.splitlines()
    assert "a\\nwritten: fake\\u001b[2J.mp4" in line
    assert command("infer", "--checkpoint", folder / "model.safetensors", tmp_path / "gone\n.mp4") == 1
    assert len(errors(capsys)) == 1


def test_some_unreadable_videos_are_a_warning(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text(f"{folder / 'videos/1.mp4'}\n{tmp_path / 'gone.mp4'}\n{folder / 'videos/2.mp4'}\n")
    for name, output in (("infer", tmp_path / "p.json"), ("features", tmp_path / "features")):
        arguments = (name, "--checkpoint", folder / "model.safetensors", "--filelist", listing, "--output", output)
        assert command(*arguments) == 0
        error = capsys.readouterr().err
        assert "warning: 1 of 3 videos could not be read" in error and "gone.mp4" in error
        assert command(*arguments, "--strict") == 1  # although `infer` has nothing left to do
        assert "error: 1 of 3 videos could not be read" in capsys.readouterr().err
        missing = output / "features.missing.csv" if name == "features" else Path(f"{output}.missing.csv")
        assert [Path(row["path"]).name for row in csv.DictReader(missing.open())] == ["gone.mp4"]
    assert [Path(row["video"]).name for row in json.loads((tmp_path / "p.json").read_text())] == ["1.mp4", "2.mp4"]


def test_shards_of_infer_share_the_list(folder: Path, tmp_path: Path) -> None:
    names = []
    for index in (1, 2):
        output = tmp_path / f"{index}.jsonl"
        arguments = ("--shard", f"{index}/2", "--output", output, "--batch-size", 1, "--workers", 1)
        assert command("infer", "--checkpoint", folder / "model.safetensors", *arguments, "--", folder / "videos") == 0
        names.append([Path(json.loads(line)["video"]).name for line in output.read_text().splitlines()])
    assert names == [["1.mp4"], ["2.mp4", "3.mp4"]]


def test_batches_agree_with_predict(folder: Path) -> None:
    model = trishift.load(folder / "model.safetensors")
    videos = sorted((folder / "videos").iterdir())
    paths = [videos[0], folder / "gone.mp4", *videos[1:]]
    results = dict(chain.from_iterable(model.predict_batches(ClipList.of(paths), batch_size=2)))
    assert list(results) == [0, 1, 2, 3]
    miss = results.pop(1)
    assert isinstance(miss, Miss) and miss.name == str(folder / "gone.mp4")
    for video, result in zip(videos, results.values(), strict=True):
        assert isinstance(result, Prediction) and result.time > 0
        assert result.top(2) == [(label, pytest.approx(value)) for label, value in model.predict(video).top(2)]


def fail_with(error: BaseException) -> int:
    def fail(arguments: list[str]) -> None:
        raise error

    return run("infer", fail, [])


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (DataError("a\nb\x1b[31m"), 1, "error: a\\nb\\u001b[31m"),
        (OSError(28, "No space left on device", "out.json"), 1, "error: out.json: No space left on device"),
        (PermissionError(13, "Permission denied", "x"), 1, "error: x: Permission denied"),
    ],
)
def test_every_failure_is_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fail_with(error) == status
    assert capsys.readouterr().err == f"{line}\n"


def test_closed_pipe_ends_quietly(folder: Path) -> None:
    script = f"{sys.executable} -m trishift inspect {folder}/model.safetensors | head -0"
    result = subprocess.run(["bash", "-c", f"set -o pipefail; {script}"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert not result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_stdout_is_one_line(folder: Path) -> None:
    script = f"{sys.executable} -m trishift inspect {folder}/model.safetensors > /dev/full"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "error: No space left on device\n")


@pytest.mark.parametrize("delay", [0.3, 1.5])
def test_ctrl_c_in_a_process_is_one_line(delay: float) -> None:
    """While importing, and while a command waits."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background\n"
        "from trishift import cli; print('started', flush=True)\n"
        f"cli.run('infer', lambda _: (time.sleep({delay}), __import__('trishift.api'), time.sleep(60)), [])\n"
    )
    code = code.replace("cli.run(", "sys.exit(cli.run(").rstrip() + ")\n"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "started\n"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "interrupted\n")
