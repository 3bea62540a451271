"""`trishift stream` through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from testing.encoded_clips import NUM_FRAMES, VIDEOS, encode

import trishift
from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.cli import main
from trishift.data.sources import open_clip
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.streaming.smoothing import Smoother, Smoothing
from trishift.streaming.source import Frame
from trishift.streaming.watching import Observation, watch

LABELS = ("up", "down", "left")


def write_model(path: Path, shift: ShiftSpec) -> Path:
    spec = ModelSpec("resnet10", 3, 4, width=4, shift=shift)
    tensors = open_session("pytorch", spec).dump_tensors()
    tensors["head.fc.weight"] *= 300  # so that classes change from frame to frame
    canonical.save(path, Checkpoint(tensors, spec, InputSpec(resize=36, crop=32), LABELS))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream")
    write_model(folder / "online.safetensors", ShiftSpec(4, "unidirectional"))
    write_model(folder / "offline.safetensors", ShiftSpec(4))
    VIDEOS["h264.mp4"](folder / "video.mp4")
    return folder


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def observations(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def test_json_lines_agree_with_the_python_api(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, video = folder / "online.safetensors", folder / "video.mp4"
    assert command("stream", video, "--checkpoint", checkpoint, "--json", "--window", 3) == 0
    captured = capsys.readouterr()
    assert f"{NUM_FRAMES} frames classified" in captured.err
    stream, smoother = trishift.load(checkpoint).stream(), Smoother(Smoothing(window=3))
    with open_clip(video) as clip:
        shown = [smoother.update(stream.step_image(image)) for image in clip.read(range(clip.num_frames))]
    found = observations(captured.out)
    assert [line["label"] for line in found] == [s.label for s in shown]
    assert [line["name"] for line in found] == [LABELS[s.label] for s in shown]
    assert [line["probability"] for line in found] == pytest.approx([s.probability for s in shown], abs=1e-3)
    assert [line["frame"] for line in found] == list(range(NUM_FRAMES))
    assert found[25]["time"] == pytest.approx(1.0, abs=0.01)


def test_any_model_runs_in_windows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, video = folder / "offline.safetensors", folder / "video.mp4"
    assert command("stream", video, "--checkpoint", checkpoint, "--json", "--clip-length", 0.8, "--hop", 0.2) == 0
    captured = capsys.readouterr()
    found = observations(captured.out)
    assert "windows of 0.8 s, every 0.2 s: the model cannot run frame by frame" in captured.err
    assert f"{NUM_FRAMES} frames classified in 5 windows" in captured.err
    assert [line["frame"] for line in found] == [19, 24, 29, 34, 39]
    model = trishift.load(checkpoint)
    for line in found:
        part = Path(f"{video}#frames={line['frame'] - 19},{line['frame'] + 1}")
        [(name, probability)] = model.predict(part).top(1)
        assert (line["name"], line["probability"]) == (name, pytest.approx(probability, abs=1e-3))


def test_windows_keep_up_with_live_sources(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (
        "--checkpoint",
        folder / "offline.safetensors",
        "--json",
        "--realtime",
        "--clip-length",
        0.4,
        "--hop",
        0.04,
    )
    assert command("stream", folder / "video.mp4", *arguments) == 0
    found = observations(capsys.readouterr().out)
    assert found and found[-1]["dropped"] == 0
    assert found[-1]["frame"] == NUM_FRAMES - 1


def test_stride_and_max_frames(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--checkpoint", folder / "online.safetensors", "--json", "--stride", 7, "--max-frames", 4)
    assert command("stream", folder / "video.mp4", *arguments) == 0
    assert [line["frame"] for line in observations(capsys.readouterr().out)] == [0, 7, 14, 21]


def test_realtime_reports_lag_and_drops(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--checkpoint", folder / "online.safetensors", "--json", "--realtime")
    assert command("stream", folder / "video.mp4", *arguments) == 0
    found = observations(capsys.readouterr().out)
    assert len(found) + found[-1]["dropped"] == NUM_FRAMES
    assert found[-1]["frame"] == NUM_FRAMES - 1


def test_text_output_shows_only_changes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--checkpoint", folder / "online.safetensors", "--hold", 1000)
    assert command("stream", folder / "video.mp4", *arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_resolution_may_change(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = tmp_path / "both.ts"
    parts = [encode(tmp_path / f"{zoom}.ts", "libx264", num_frames=3, zoom=zoom) for zoom in (2, 1, 3)]
    both.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert command("stream", both, "--checkpoint", folder / "online.safetensors", "--json") == 0
    assert len(observations(capsys.readouterr().out)) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["97", "--checkpoint", "{folder}/online.safetensors"], "camera 97"),
        (["{folder}/gone.mp4", "--checkpoint", "{folder}/online.safetensors"], "gone.mp4"),
        (["{folder}/video.mp4", "--checkpoint", "{folder}/offline.safetensors", "--hop", "0"], "--hop"),
        (["{folder}/video.mp4", "--checkpoint", "{folder}/offline.safetensors", "--hop", "9"], "raise --clip-length"),
        (["{folder}/video.mp4", "--checkpoint", "{folder}/online.safetensors", "--stride", "0"], "--stride"),
        (["{folder}/video.mp4", "--checkpoint", "{folder}/online.safetensors", "--smoothing", "demo"], "3 classes"),
        (["http://127.0.0.1:9/x", "--checkpoint", "{folder}/online.safetensors", "--timeout", "2"], "127.0.0.1:9"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("stream", *(argument.format(folder=folder) for argument in arguments)) == 1
    *_, error = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error: ")
    assert message in error


def test_reconnection_starts_a_new_video(folder: Path) -> None:
    model = trishift.load(folder / "online.safetensors")
    image = np.full((40, 40, 3), 120, np.uint8)
    frames = [Frame(image, number, 0.0, connection) for number, connection in enumerate((0, 0, 1))]
    seen = list(watch(frames, model.stream(), Smoother(Smoothing()), LABELS))
    assert seen[2].probability == seen[0].probability
    assert seen[1].probability != seen[0].probability


def test_overlay_keeps_the_picture() -> None:
    pytest.importorskip("cv2")
    from trishift.reporting.overlay import annotate

    image = np.full((60, 80, 3), 200, np.uint8)
    shown = annotate(image, Observation(0, 0.0, 1, "a class with quite a long name", 0.5))
    assert (image == 200).all()
    assert np.array_equal(shown[:60], image)
    assert shown[60:].max() > 200  # letters
    assert shown.shape[1:] == (80, 3)
