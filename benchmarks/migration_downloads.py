"""Miniature downloads of the data sets in docs/migration.md: real layouts and numbers of classes, but few clips.

`write_downloads(WORK)` makes WORK/downloads/<data set> and the other inputs of the page: custom clips and lists, the
stimuli of BOLD Moments, and a model's views in MSN's test format.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from benchmarks.migration_weights import KINETICS, MOMENTS, SOMETHING
from testing.downloads import frame_folders, tar_bytes, write_parts, write_zip
from testing.encoded_clips import encode

from trishift.checkpoints.labels import shipped_labels

TRAIN = (1, 2, 3, 4)
VAL = (5,)  # one clip: some protocols have 30 views
NUM_FRAMES = 12


def names_of(count: int, text: str) -> list[str]:
    """`count` class names, in sorted order."""
    return [f"{text} {number:03d}" for number in range(count)]


def write_kinetics(folder: Path, video: bytes) -> None:
    """CSV files with 400 classes, and archives with a few of their clips, in the layout of mirrors."""
    header = "label,youtube_id,time_start,time_end,split,is_cc"
    labels = names_of(KINETICS, "waving (hand)")
    train = [f'"{label}",clip{number:07d},10,20,train,0' for number, label in enumerate(labels, 1)]
    val = [f'"{labels[0]}",clip{number:07d},10,20,val,0' for number in (len(labels) + 1,)]
    folder.mkdir(parents=True)
    for part, rows, present in (("train", train, TRAIN), ("validate", val, (len(labels) + 1,))):
        (folder / f"{part}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        clips = {f"clip{number:07d}_000010_000020.mp4": video for number in present}
        (folder / f"{part}_part_0.tar.gz").write_bytes(tar_bytes(clips))


def write_csv_annotated(folder: Path, prefix: str, labels: Sequence[str], *, zipped: bool) -> None:
    """Jester and Something-Something V1: frame folders in the parts of an archive, and CSV files."""
    rows = {
        part: [f"{clip};{labels[clip]}" for clip in clips] for part, clips in (("train", TRAIN), ("validation", VAL))
    }
    files = {part: ("\n".join(lines) + "\n").encode() for part, lines in {"labels": labels, **rows}.items()}
    frames = frame_folders(f"20bn-{prefix}", dict.fromkeys(TRAIN + VAL, NUM_FRAMES))
    write_parts(folder, "zipped" if zipped else "bare", tar_bytes(frames), f"20bn-{prefix}")
    if zipped:
        package = {f"labels/{part}.csv": data for part, data in files.items()}
        write_zip(folder / "20bn-jester-download-package-labels.zip", package)
    else:
        for part, data in files.items():
            (folder / f"{prefix}-{part}.csv").write_bytes(data)


def write_somethingv2(folder: Path, video: bytes) -> None:
    """Something-Something V2: videos in the parts of an archive, and a zip of JSON files."""
    labels = names_of(SOMETHING, "Holding something next to object")

    def entries(clips: Sequence[int]) -> list[dict[str, str]]:
        return [{"id": str(clip), "template": labels[clip].replace("something", "[something]")} for clip in clips]

    files = {
        "labels": {label: str(number) for number, label in enumerate(labels)},
        "train": entries(TRAIN),
        "validation": entries(VAL),
    }
    package = {f"labels/{name}.json": json.dumps(content).encode() for name, content in files.items()}
    write_zip(folder / "20bn-something-something-download-package-labels.zip", package)
    name = "20bn-something-something-v2"
    write_parts(folder, "zipped", tar_bytes({f"{name}/{clip}.webm": video for clip in TRAIN + VAL}), name)


def write_ucf101(folder: Path, video: bytes) -> None:
    """UCF101: three splits of two classes."""
    labels = ("ApplyEyeMakeup", "YoYo")
    clips = [f"{label}/v_{label}_g{group:02d}_c01.avi" for label in labels for group in (1, 2, 3)]
    lists = {"classInd.txt": "".join(f"{number} {label}\n" for number, label in enumerate(labels, 1))}
    for split in (1, 2, 3):
        test = [clip for clip in clips if f"_g{split:02d}_" in clip]
        train = [f"{clip} {1 + clip.startswith('YoYo')}" for clip in clips if clip not in test]
        lists |= {f"testlist{split:02d}.txt": "\n".join(test), f"trainlist{split:02d}.txt": "\n".join(train)}
    splits = {f"ucfTrainTestlist/{name}": text.encode() for name, text in lists.items()}
    write_zip(folder / "UCF101TrainTestSplits-RecognitionTask.zip", splits)
    write_zip(folder / "UCF101.zip", {f"UCF-101/{clip}": video for clip in clips})


def write_moments(folder: Path, video: bytes) -> None:
    """Multi-Moments: a zip of videos and lists with several class numbers per video."""
    categories = "".join(f"{name},{number}\n" for number, name in enumerate(names_of(MOMENTS, "clapping")))
    files = {"moments_categories.txt": categories.encode()}
    for name, clips in (("trainingSet", TRAIN), ("validationSet", VAL)):
        files[f"{name}.csv"] = "".join(f"clapping/yt-{clip}.mp4,{clip},{clip + 1}\n" for clip in clips).encode()
        files |= {f"videos/clapping/yt-{clip}.mp4": video for clip in clips}
    write_zip(folder / "Multi_Moments_in_Time.zip", files)


def write_own(work: Path, video: bytes) -> None:
    """Frame folders with lists, lists of videos, a folder of stimuli and a video."""
    custom = work / "data/custom"
    for name, data in frame_folders("", dict.fromkeys(map(str, TRAIN + VAL), NUM_FRAMES)).items():
        path = custom / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for part, clips in (("train", TRAIN), ("val", VAL)):
        (custom / f"{part}.txt").write_text("".join(f"{clip} {NUM_FRAMES} {clip % 2}\n" for clip in clips))
    (custom / "labels.txt").write_text("nod\nwave\n")
    (work / "val.txt").write_text((custom / "val.txt").read_text())
    (work / "video.mp4").write_bytes(video)
    (work / "infer.list").write_text("video.mp4\n")
    (work / "stimulus_set").mkdir()
    for number in (1, 1001):  # the first belongs to the training set, the second to the test set
        (work / "stimulus_set" / f"{number:04d}.mp4").write_bytes(video)


def write_views(folder: Path) -> None:
    """Three crops of two clips of four videos, one pickle per view."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for view in (f"{clip}_crop{crop}" for clip in range(2) for crop in range(3)):
        rows = [[rng.standard_normal((1, SOMETHING), np.float32), label] for label in range(4)]
        (folder / f"{view}.pkl").write_bytes(pickle.dumps(rows))


def write_downloads(work: Path) -> None:
    """Write all downloads into a new folder WORK/downloads, and the other inputs next to it."""
    downloads = work / "downloads"
    downloads.mkdir()
    options = {"preset": "fast", "x264-params": "keyint=10"}
    video = encode(work / "downloads.mp4", "libx264", options=options).read_bytes()
    write_kinetics(downloads / "kinetics", video)
    labels = names_of(SOMETHING, "Holding something")
    write_csv_annotated(downloads / "somethingv1", "something-something-v1", labels, zipped=False)
    write_csv_annotated(downloads / "jester", "jester-v1", shipped_labels("jester"), zipped=True)
    write_somethingv2(downloads / "somethingv2", video)
    write_ucf101(downloads / "ucf101", video)
    write_moments(downloads / "moments", video)
    write_own(work, video)
    write_views(work / "views")
