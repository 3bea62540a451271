"""`trishift features`: file contents, skipped files and shards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from testing.encoded_clips import encode

import trishift
from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.cli import main
from trishift.data.opening import unlabeled_set
from trishift.data.protocol import named_protocol
from trishift.errors import RecipeError
from trishift.evaluation.features import FeatureSettings, is_complete, output_paths
from trishift.evaluation.shards import Shard
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

SEGMENTS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and five videos in two folders; two videos share their stem."""
    folder = tmp_path_factory.mktemp("features")
    spec = ModelSpec("resnet10", 3, SEGMENTS, width=4, shift=ShiftSpec(4))
    tensors = open_session("pytorch", spec).dump_tensors()
    canonical.save(folder / "model.safetensors", Checkpoint(tensors, spec, InputSpec(resize=36, crop=32)))
    for name in ("a/one.mp4", "a/one.avi", "a/two.mp4", "b/one.mp4", "b/three.mp4"):
        (folder / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        encode(folder / "videos" / name, "mpeg4", num_frames=9)
    return folder


def run(folder: Path, output: Path, *arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(
            [
                str(part)
                for part in ("features", "--checkpoint", folder / "model.safetensors", "--output", output, *arguments)
            ]
        )
    return int(stop.value.code or 0)


def files(output: Path) -> dict[str, dict[str, np.ndarray]]:
    return {str(path.relative_to(output)): dict(np.load(path)) for path in sorted(output.rglob("*.npz"))}


@pytest.mark.parametrize(
    ("level", "arguments", "shapes"),
    [
        ("frame", ("--maps",), {"layer1": (10, SEGMENTS, 4, 8, 8), "pooled": (10, SEGMENTS, 32), "logits": (10, 3)}),
        ("frame", (), {"layer1": (10, SEGMENTS, 4), "pooled": (10, SEGMENTS, 32), "logits": (10, 3)}),
        ("clip", (), {"layer1": (10, 4), "pooled": (10, 32), "logits": (10, 3)}),
        ("video", (), {"layer1": (4,), "pooled": (32,), "logits": (3,)}),
    ],
)
def test_levels_average_model_features(
    folder: Path, tmp_path: Path, level: str, arguments: tuple, shapes: dict
) -> None:
    video = folder / "videos/a/two.mp4"
    options = ("--layers", *shapes, "--level", level, "--protocol", "ten", "--batch-size", 3, *arguments)
    assert run(folder, tmp_path, *options, "--", video) == 0
    (found,) = files(tmp_path).values()
    model = trishift.load(folder / "model.safetensors")
    clips = unlabeled_set([video], model.input, model.spec, named_protocol("ten")).load(0).clips
    for layer, expected in model.features(clips, list(shapes)).items():
        if expected.ndim == 5 and "--maps" not in arguments:
            expected = expected.mean((3, 4))
        if level != "frame" and layer != "logits":
            expected = expected.mean(1)
        if level == "video":
            expected = expected.mean(0)
        assert found[layer].shape == shapes[layer]
        assert found[layer] == pytest.approx(expected, abs=1e-5)


def test_layout_is_kept_and_complete_files_are_skipped(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, tmp_path, folder / "videos") == 0
    written = files(tmp_path)
    assert list(written) == ["a/one.avi.npz", "a/one.mp4.npz", "a/two.mp4.npz", "b/one.mp4.npz", "b/three.mp4.npz"]
    assert json.loads(str(written["a/one.mp4.npz"]["description"]))["layers"] == ["pooled"]
    (tmp_path / "a/one.mp4.npz").write_bytes((tmp_path / "a/one.mp4.npz").read_bytes()[:200])
    (tmp_path / "b/one.mp4.npz").unlink()
    capsys.readouterr()
    assert run(folder, tmp_path, folder / "videos") == 0
    printed = capsys.readouterr()
    assert "5 videos, 3 of them complete" in printed.err
    assert printed.out.count("written") == 2
    assert all(np.array_equal(files(tmp_path)[name]["pooled"], arrays["pooled"]) for name, arrays in written.items())
    assert run(folder, tmp_path, "--level", "clip", "--", folder / "videos") == 0
    assert "5 videos, 0 of them complete" in capsys.readouterr().err


def test_damaged_files_are_incomplete(tmp_path: Path) -> None:
    settings = FeatureSettings()
    path = tmp_path / "a.npz"
    np.savez_compressed(path, description=np.array(settings.description()))
    good = path.read_bytes()
    assert is_complete(path, settings) and not is_complete(path, replace(settings, level="clip"))
    for damaged in (b"", b"x", good[:-9], good[:100] + b"\xff" * 20 + good[120:], good[:200] + bytes(4)):
        path.write_bytes(damaged)
        assert not is_complete(path, settings)
    assert not is_complete(tmp_path / "none.npz", settings)


def test_shards_share_the_work(folder: Path, tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("".join(f"{video} 9 0\n" for video in sorted((folder / "videos").rglob("*.*"))))
    counts = []
    for index in (1, 2, 3):
        assert run(folder, tmp_path / "out", "--filelist", listing, "--shard", f"{index}/3") == 0
        counts.append(len(files(tmp_path / "out")))
    assert counts == [1, 3, 5]


def test_bold_moments_layout(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for length, name in enumerate(("set/0001.mp4", "set/1000.mp4", "set/1001.mp4", "more/test/walk.mp4"), 4):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        encode(tmp_path / name, "mpeg4", num_frames=3 * length)
    output, videos = tmp_path / "out", (tmp_path / "set", tmp_path / "more")
    arguments = ("--layout", "bold-moments", "--protocol", "m4")
    assert run(folder, output, *arguments, "--shard", "1/2", "--", *videos) == 0
    assert "left to other shards" in capsys.readouterr().err
    assert run(folder, output, *arguments, "--", *videos) == 0
    layers = ("layer1", "layer2", "layer3", "layer4", "baseout", "fc")
    names = {f"{split}_{layer}.npy" for split in ("train", "test") for layer in layers}
    assert {path.name for path in output.glob("*.npy")} == names
    listed = [(output / f"{split}_videos.txt").read_text().split() for split in ("train", "test")]
    assert listed[0] == [str(tmp_path / "set/0001.mp4"), str(tmp_path / "set/1000.mp4")]
    assert listed[1] == [str(tmp_path / "more/test/walk.mp4"), str(tmp_path / "set/1001.mp4")]
    model = trishift.load(folder / "model.safetensors")
    clip = unlabeled_set([tmp_path / "set/0001.mp4"], model.input, model.spec, named_protocol("m4")).load(0).clips
    expected = model.features(clip, ["layer1", "pooled", "logits"])
    layer1, baseout, fc = (np.load(output / f"train_{layer}.npy") for layer in ("layer1", "baseout", "fc"))
    assert (layer1.shape, baseout.shape, fc.shape) == ((2, 4 * 8 * 8), (2, 32), (2, 3))
    assert layer1[0] == pytest.approx(expected["layer1"][0].mean(0).reshape(-1), abs=1e-5)
    assert baseout[0] == pytest.approx(expected["pooled"][0].mean(0), abs=1e-5)
    assert fc[0] == pytest.approx(expected["logits"][0], abs=1e-5)
    assert not np.array_equal(fc[0], fc[1])


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0"])
def test_rejects_invalid_shards(text: str) -> None:
    with pytest.raises(RecipeError, match="write i/n"):
        Shard.parse(text)


def test_single_video_is_written_to_the_top_folder() -> None:
    assert output_paths([Path("deep/er/v.mp4")], Path("out")) == {Path("deep/er/v.mp4"): Path("out/v.mp4.npz")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strict", "--", "{folder}/videos/a/two.mp4", "{folder}/gone.mp4"], "1 of 2 videos could not be read"),
        (["--layers", "layer9", "--", "{folder}/videos/a/two.mp4"], "layer 'layer9' is unknown"),
        ([], "at least one VIDEO"),
        (["--layout", "bold-moments", "--", "{folder}/videos"], "train or test?"),
        (["--layout", "bold-moments", "--maps", "--", "{folder}/7.mp4"], "remove --layers, --level and --maps"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, tmp_path, *(argument.format(folder=folder) for argument in arguments)) == 1
    assert message in capsys.readouterr().err
