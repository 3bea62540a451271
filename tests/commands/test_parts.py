"""Parts of a list: `--devices`, `--shard` and `merge` give the result of one process, in its order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from testing.encoded_clips import encode
from tests.support.command_line import command

from trishift.backends import open_session
from trishift.checkpoints import Checkpoint, canonical
from trishift.commands.shared import parts
from trishift.commands.shared.parts import environments
from trishift.errors import RecipeError
from trishift.evaluation.shards import Shard
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

SMALL = ("--device", "cpu", "--batch-size", 2, "--workers", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and seven videos with labels. The third and fourth, a whole batch, cannot be read."""
    folder = tmp_path_factory.mktemp("parts")
    spec = ModelSpec("resnet10", 3, 4, width=4, shift=ShiftSpec(4))
    tensors = open_session("pytorch", spec).dump_tensors()
    canonical.save(
        folder / "model.safetensors", Checkpoint(tensors, spec, InputSpec(resize=36, crop=32), ("a", "b", "c"))
    )
    for number in (1, 2, 5, 6, 7):
        encode(folder / f"{number}.mp4", "mpeg4", num_frames=8 + number)
    for number in (3, 4):
        (folder / f"{number}.mp4").write_text("not a video")
    (folder / "list.txt").write_text("".join(f"{n}.mp4 {8 + n} {n % 3}\n" for n in range(1, 8)))
    (folder / "labels.txt").write_text("a\nb\nc\n")
    data = {"root": str(folder), "val_list": "list.txt", "labels": "labels.txt"}
    recipe = {"model": {"backbone": "resnet10", "num_segments": 4}, "data": data, "evaluation": {"crops": "three"}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder


def evaluate(folder: Path, output: Path, *arguments: object) -> int:
    checkpoint = ("--checkpoint", folder / "model.safetensors", "--config", folder / "recipe.yaml")
    return command("eval", *checkpoint, *SMALL, "--output", output, *arguments)


def infer(folder: Path, output: Path, *arguments: object) -> int:
    inputs = ("--filelist", folder / "list.txt", "--protocol", "three")
    return command(
        "infer", "--checkpoint", folder / "model.safetensors", *SMALL, *inputs, "--output", output, *arguments
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix not in (".png", ".html")}


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one process."""
    whole = tmp_path_factory.mktemp("whole")
    assert evaluate(folder, whole / "eval.json") == 0
    for suffix in ("json", "jsonl", "csv", "parquet", "pkl"):
        assert infer(folder, whole / f"infer.{suffix}") == 0
    return whole


def test_shards_of_eval_merge_to_the_whole(folder: Path, whole: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.json" for index in range(1, 5)]  # the second one cannot read any video
    statuses = [evaluate(folder, path, "--shard", f"{index}/4") for index, path in enumerate(paths, 1)]
    assert statuses == [0, 1, 0, 0]
    assert command("merge", *reversed(paths), "--output", tmp_path / "merged/eval.json") == 0
    assert contents(tmp_path / "merged") == {k: v for k, v in contents(whole).items() if k.startswith("eval")}


@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv", "parquet", "pkl"])
def test_shards_of_infer_merge_to_the_whole(folder: Path, whole: Path, tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{index}.{suffix}" for index in (1, 2)]
    for index, path in enumerate(paths, 1):
        assert infer(folder, path, "--shard", f"{index}/2") == 0
    assert command("merge", *paths, "--output", tmp_path / f"all.{suffix}") == 0
    assert (tmp_path / f"all.{suffix}").read_bytes() == (whole / f"infer.{suffix}").read_bytes()


def test_two_processes_evaluate_like_one(
    folder: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(folder, tmp_path / "eval.json", "--devices", 2) == 0
    assert contents(tmp_path) == {k: v for k, v in contents(whole).items() if k.startswith("eval")}
    told = capsys.readouterr().err
    assert told.count("Trishift, resnet10") == 1 and "2 of 7 videos could not be read" in told


def test_two_processes_predict_like_one(folder: Path, whole: Path, tmp_path: Path) -> None:
    assert infer(folder, tmp_path / "infer.jsonl", "--devices", 2) == 0
    assert (tmp_path / "infer.jsonl").read_bytes() == (whole / "infer.jsonl").read_bytes()


def test_two_processes_write_the_features_of_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for devices in (1, 2):
        arguments = ("--filelist", folder / "list.txt", "--output", tmp_path / str(devices), "--devices", devices)
        assert command("features", "--checkpoint", folder / "model.safetensors", *SMALL, *arguments) == 0
        printed.append(capsys.readouterr().out.replace(str(tmp_path / str(devices)), ""))
    assert printed[0] == printed[1]
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.parametrize(("count", "batch", "items"), [(1, 1, 5), (3, 2, 7), (4, 8, 20), (5, 2, 3), (2, 1, 0)])
def test_parts_are_whole_batches_and_together_the_list(count: int, batch: int, items: int) -> None:
    shards = [Shard(index, count) for index in range(1, count + 1)]
    together = [item for shard in shards for item in shard.of(range(items), batch)]
    assert together == list(range(items))
    turns = [shard.turns(range(items), batch) for shard in shards]
    assert sorted(item for turn in turns for item in turn) == together
    batches = {tuple(range(items)[start : start + batch]) for start in range(0, items, batch)}
    for part in [*turns, *(list(shard.of(range(items), batch)) for shard in shards)]:
        assert {tuple(part[start : start + batch]) for start in range(0, len(part), batch)} <= batches


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.json"], r"shards 1/3: give every shard once, 1/3 to 3/3"),
        (["1.json", "1.json", "3.json"], r"shards 1/3, 1/3, 3/3: give every shard once"),
        (["1.json", "2.json", "other.json"], r"other.json: protocol is x, but y in .*1.json"),
        (["whole.json"], "whole.json: is not the result of `trishift eval --shard I/N`"),
        (["1.json", "rows.json"], "rows.json: is not the result"),
        (["rows.json", "1.json"], "1.json: is not a list of predictions"),
        (["a.csv", "b.csv"], "b.csv: its columns are not those of"),
        (["a.csv", "rows.json"], "rows.json: is not a .csv file like"),
        (["a.txt"], "unknown format '.txt'"),
        (["gone.jsonl"], "gone.jsonl: cannot be read"),
        (["gone.pkl"], r"error: \S+gone.pkl: cannot be read \(No such file or directory\); check the path\n"),
        (["bad.parquet"], "bad.parquet: is no Parquet file"),
        (["bad.pkl"], "bad.pkl: is not a file of `trishift infer`"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    names: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, shard in (("1", "1/3"), ("2", "2/3"), ("3", "3/3"), ("other", "3/3"), ("whole", None)):
        protocol = "x" if name == "other" else "y"
        result = {"protocol": protocol, "misses": [], **({"shard": shard} if shard else {})}
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
        arrays = {"names": np.array(["v"]), "scores": np.ones((1, 2), np.float32), "labels": np.array(["a", "b"])}
        np.savez(tmp_path / f"{name}.scores.npz", targets=np.array([0]), **arrays)
    (tmp_path / "rows.json").write_text("[]")
    (tmp_path / "a.csv").write_text("video,rank\r\n")
    (tmp_path / "b.csv").write_text("video,place\r\n")
    (tmp_path / "bad.pkl").write_text("?")
    (tmp_path / "bad.parquet").write_text("?")
    paths = [tmp_path / name for name in names]
    assert command("merge", *paths, "--output", tmp_path / f"result{paths[0].suffix}") == 1
    assert re.search(message, capsys.readouterr().err)


def test_each_process_gets_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    assert environments("gpu", 2) == [{"CUDA_VISIBLE_DEVICES": "4"}, {"CUDA_VISIBLE_DEVICES": "6"}]
    with pytest.raises(RecipeError, match=r"--devices 4: only 3 are visible \(gpu\); use --devices 3"):
        environments("gpu", 4)
    monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)
    assert environments("ascend", 2) == [{"ASCEND_RT_VISIBLE_DEVICES": "0"}, {"ASCEND_RT_VISIBLE_DEVICES": "1"}]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(parts.os, "sched_getaffinity", lambda _: range(8))
    assert environments("cpu", 3) == [{"OMP_NUM_THREADS": "2"}] * 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environments("cpu", 2) == [{}, {}]


@pytest.mark.parametrize(
    "variables",
    [{"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}, {"PADDLE_TRAINERS_NUM": "2"}, {"MS_WORKER_NUM": "2"}],
)
def test_launchers_are_refused(
    variables: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert command("infer", "--checkpoint", folder / "model.safetensors", folder / "1.mp4") == 1
    assert "a launcher started 2 copies of this command; start one, with --devices 2" in capsys.readouterr().err
