"""`trishift timeline` through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from testing.encoded_clips import encode
from tests.support.command_line import command, error_line
from tests.support.object_store import BUCKET, object_store

import trishift
from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.io.line_files import open_lines
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.streaming.events import EventRule, find_events
from trishift.streaming.timeline import Moment, Timeline

LABELS = ("up", "down", "background")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timeline")
    spec = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(4))
    tensors = open_session("pytorch", spec).dump_tensors()
    tensors["head.fc.weight"] *= 300  # so that classes change from window to window
    pixels, meta = InputSpec(resize=36, crop=32), {"window": 0.4}
    canonical.save(folder / "model.safetensors", Checkpoint(tensors, spec, pixels, LABELS, meta))
    encode(folder / "video.mp4", "libx264", num_frames=100)
    return folder


def run(folder: Path, video: object, *arguments: object) -> int:
    return command("timeline", video, "--checkpoint", folder / "model.safetensors", "--hop", 0.2, *arguments)


def test_files_agree_with_the_python_api(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("json", "jsonl", "csv", "srt", "vtt", "eaf")
    assert run(folder, folder / "video.mp4", "--output", *(tmp_path / f"{{name}}.{name}" for name in names)) == 0
    model = trishift.load(folder / "model.safetensors")
    rule = EventRule(shortest=0.16, merge=0.2, nothing=frozenset({2}))
    moments = list(model.timeline(folder / "video.mp4", hop=0.2))
    events = find_events(map(rule.reading, moments), rule)
    found = json.loads((tmp_path / "video.json").read_text())
    assert [(e["start"], e["end"], e["class"]) for e in found["events"]] == [(e.start, e.end, e.label) for e in events]
    assert (found["window"], found["hop"], found["windows"]) == (0.4, 0.2, len(moments))
    assert len(capsys.readouterr().out.splitlines()) == len(events)
    assert (tmp_path / "video.srt").read_text().count(" --> ") == len(events)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"video.{name}" for name in names)


def test_an_interrupted_command_continues(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (folder / "video.mp4", "--batch-size", 2, "--output", tmp_path / "a.json")
    original = Timeline.moments

    def broken(self: Timeline, *resumed: int) -> object:
        for moment in original(self, *resumed):
            if moment.index == 7:
                raise KeyboardInterrupt
            yield moment

    monkeypatch.setattr(Timeline, "moments", broken)
    assert run(folder, *arguments) == 130
    assert "repeat the command to continue" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.json.windows.jsonl"]
    monkeypatch.undo()
    assert run(folder, *arguments) == 0
    assert "continued from window 6" in capsys.readouterr().err
    continued = (tmp_path / "a.json").read_text()
    (tmp_path / "a.json").unlink()
    assert run(folder, *arguments) == 0
    assert (tmp_path / "a.json").read_text() == continued
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_list_continues_with_the_videos_that_are_not_done(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [tmp_path / f"{name}.mp4" for name in "abc"]
    for video in videos:
        shutil.copy(folder / "video.mp4", video)
    original, output, classified = Timeline.moments, tmp_path / "out", []

    def moments(self: Timeline, *arguments: int) -> Iterator[Moment]:
        classified.append(Path(self.source.name).stem)
        if classified == ["a", "b"]:
            raise KeyboardInterrupt
        yield from original(self, *arguments)

    monkeypatch.setattr(Timeline, "moments", moments)
    arguments = (tmp_path, "--output", output / "{name}.json")
    assert run(folder, *arguments) == 130
    capsys.readouterr()
    assert run(folder, *arguments) == 0
    assert classified[2:] == ["b", "c"]
    assert "continued, 1 of 3 videos done" in capsys.readouterr().err
    assert sorted(path.name for path in output.iterdir()) == ["a.json", "b.json", "c.json"]
    assert run(folder, *arguments) == 0
    assert classified[4:] == ["a", "b", "c"]


def test_files_of_another_job_are_not_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    videos, original = [tmp_path / f"{name}.mp4" for name in "ab"], Timeline.moments
    for video in videos:
        shutil.copy(folder / "video.mp4", video)

    def only_a(self: Timeline, *arguments: int) -> Iterator[Moment]:
        if Path(self.source.name).stem == "b":
            raise KeyboardInterrupt
        yield from original(self, *arguments)

    arguments = (tmp_path, "--output", tmp_path / "out/{name}.json")
    with monkeypatch.context() as patch:
        patch.setattr(Timeline, "moments", only_a)
        assert run(folder, *arguments) == 130
    before = (tmp_path / "out/a.json").read_bytes()
    assert run(folder, *arguments, "--hop", 0.1) == 0
    assert (tmp_path / "out/a.json").read_bytes() != before
    assert run(folder, *arguments) == 0
    assert (tmp_path / "out/a.json").read_bytes() == before
    assert "continued" not in capsys.readouterr().err


def test_thresholds_apply_to_finished_windows(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (folder / "video.mp4", "--output", tmp_path / "a.jsonl")
    assert run(folder, *arguments) == 0
    before = (tmp_path / "a.jsonl").read_bytes()
    assert run(folder, *arguments, "--enter", 1, "--min-length", 5) == 0
    assert (tmp_path / "a.jsonl").read_bytes() == before
    assert "0 events in 19 windows" in capsys.readouterr().err


def test_unreadable_videos_are_reported(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    output = ("--output", tmp_path / "{name}.json")
    assert run(folder, tmp_path / "bad.mp4", folder / "video.mp4", *output) == 0
    assert "1 of 2 videos could not be read" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.mp4", "timelines.missing.csv", "video.json"]
    assert "bad.mp4" in (tmp_path / "timelines.missing.csv").read_text()
    assert run(folder, tmp_path / "bad.mp4", folder / "video.mp4", *output, "--strict") == 1
    shutil.copy(folder / "video.mp4", tmp_path / "bad.mp4")
    assert run(folder, tmp_path / "bad.mp4", folder / "video.mp4", *output) == 0
    assert not (tmp_path / "timelines.missing.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hop", "0"], "--hop must be a positive number"),
        (["--window", "0.1"], "leaves gaps"),
        (["--output", "a.txt"], "unknown format '.txt'"),
        (["--output", "{folder}/a.json", "{folder}/model.safetensors"], "unknown format '.safetensors'"),
        (["--leave", "0.9"], "--leave not above --enter"),
        (["--nothing", "upp"], "did you mean 'up'"),
        (["--thresholds", "2"], "between 0 and 1"),
        (["rtsp://127.0.0.1:9/live"], "127.0.0.1:9"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(folder=tmp_path) for word in arguments]
    assert run(folder, *([] if "://" in words[0] else [folder / "video.mp4"]), *words) == 1
    assert message in error_line(capsys)


def test_videos_need_files_of_their_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video = folder / "video.mp4"
    assert run(folder, video, video, "--output", "a.json") == 1
    assert "write {name} into --output" in error_line(capsys)


def test_second_writer_is_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_lines(tmp_path / "a.jsonl"):
        assert run(folder, folder / "video.mp4", "--output", tmp_path / "a.jsonl") == 1
    assert "another process is writing it" in error_line(capsys)


@pytest.mark.parametrize("listed", [False, True])
def test_videos_in_a_store_are_recordings(folder: Path, tmp_path: Path, *, listed: bool) -> None:
    address, model = f"s3://{BUCKET}/video.mp4", trishift.load(folder / "model.safetensors")
    (tmp_path / "list.txt").write_text(f"{address}\n{address}.gone\n")
    with object_store() as client:
        client.upload_file(str(folder / "video.mp4"), BUCKET, "video.mp4")
        assert (
            run(
                folder,
                f"--filelist={tmp_path / 'list.txt'}" if listed else address,
                "--output",
                tmp_path / "{name}.json",
            )
            == 0
        )
    found = json.loads((tmp_path / "video.json").read_text())
    assert found["video"] == address
    assert found["windows"] == len(list(model.timeline(folder / "video.mp4", hop=0.2)))
    if listed:
        assert f"\n{address}.gone," in (tmp_path / "timelines.missing.csv").read_text()
