"""A folder with what the guides assume, in miniature: clips, lists, weights of other code bases and published names."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from testing.long_gestures import compose
from testing.originals import filled, paddle_resnet, tsm_resnet, write_pdparams
from tests.support.command_line import command

from trishift.checkpoints.formats.pytorch import write_pytorch
from trishift.commands import quickstart
from trishift.data.gestures import CLASSES
from trishift.data.lists import read_list
from trishift.zoo import published

CLIPS = Path("runs/quickstart/gestures")
TSM_V2 = "TSM_somethingv2_RGB_resnet50_shift8_blockres_avg_segment8_e45.pth"
PUBLISHED = ("tsm-r50-8f-k400", "mobilenetv2-imagenet", "resnet50-imagenet")


def build(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill the folder, which becomes the current one, with the quickstart's results and files made from its clips."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRISHIFT_HOME", str(folder / "home"))
    for name in ("TRISHIFT_OFFLINE", "TRISHIFT_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(quickstart, "call", lambda *words: command(*words))
    assert command("quickstart", "--tiny") == 0
    _write_clips()
    _write_weights()
    _publish(folder / "zoo", monkeypatch)


def _write_clips() -> None:
    """Single clips, folders of clips per class, long videos and marks in them."""
    records = read_list(CLIPS / "train.txt")
    for name in ("clip.mp4", "new_clip.mp4", "example.avi"):
        shutil.copy(records[0].path, name)
    for number, label in enumerate(("wave", "clap") * 4):
        target = Path("CLIPS", label, f"{number}.mp4")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(records[4 * number].path, target)
    Path("data").mkdir()
    shutil.copy(CLIPS / "labels.txt", "data")
    for name in ("train", "val"):
        lines = (f"{record.path.absolute()} {record.labels[0]}\n" for record in read_list(CLIPS / f"{name}.txt"))
        Path(f"data/{name}.list").write_text("".join(lines), encoding="utf-8")
    Path("videos").mkdir()
    marks = []
    for number in range(5):
        video, chosen = Path(f"videos/{number}.mp4"), records[number::5][:4]
        parts = compose(video, [(record.path, record.labels[0]) for record in chosen], seed=number)
        marks += [(video.name, *part) for part in parts]
    shutil.copy("videos/0.mp4", "long.mp4")
    with Path("marks.csv").open("w", encoding="utf-8", newline="") as file:
        rows = ((video, f"{start:.2f}", f"{end:.2f}", CLASSES[label]) for video, start, end, label in marks)
        csv.writer(file).writerows([("video", "start", "end", "label"), *rows])


def _write_weights() -> None:
    """Files of other code bases, named as there."""
    tsm = filled(tsm_resnet(50, shift="blockres", width=8, classes=174))
    write_pytorch(Path(TSM_V2), tsm, {"epoch": 45}, "state_dict")
    for name in ("tsm.pth", "weights.pth.tar"):
        shutil.copy(TSM_V2, name)
    write_pdparams(Path("TSM_k400.pdparams"), filled(paddle_resnet(50, fluid=False, width=8, classes=400)))


def _publish(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files in place of those with published names that the guides use."""
    folder.mkdir()
    tensors = filled(tsm_resnet(18, shift="blockres", width=8, classes=400))
    table = f'publishers: {{stage: {{title: Stage, base: "{folder.as_uri()}/"}}}}\nweights:\n'
    for name in PUBLISHED:
        write_pytorch(folder / f"{name}.pth", tensors, {}, "state_dict")
        table += (
            f"- {{name: {name}, publisher: stage, path: {name}.pth, dialect: tsm, data: kinetics400, model: "
            "{backbone: resnet18, width: 8, num_segments: 8, shift: {}, dropout: 0.8}, options: {num_segments: 8}}\n"
        )
    entries = published.read_table(table)
    monkeypatch.setattr(published, "published_weights", lambda: entries)
