"""Events in long videos: built-in gestures one after another, with rests in between, found in every framework.

    python -m benchmarks.timelines WORK RUN [--frameworks pytorch paddle mindspore] [--others 5]

RUN is a run of the recipe gestures/tsm, trained on trimmed clips. Of 1,000 training gestures, 20 annotated videos are
composed; `trishift prepare intervals` and `trishift train` fine-tune on them as docs/timelines.md says, and `trishift
timeline` finds 200 gestures of validation clips with its default settings. `--others` repeats this in the first
framework on videos of newly drawn gestures. Finished steps are not repeated.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from testing.long_gestures import compose

from trishift.data.gestures import CLASSES, make_gestures
from trishift.data.lists import read_list
from trishift.evaluation.timeline_files import matched, read_predictions, read_truth
from trishift.evaluation.timelines import Span, VideoSpans, overlap_counts, timeline_metrics

NOTHING = "No gesture"
PER_VIDEO, TESTED, AT_EITHER_END = 50, 200, 10
TRAINING = {
    "train.epochs": 6,
    "train.lr": 0.03,
    "data.balance.by": "square_root",
    "data.augmentation.jitter": 0.25,
}


def moving(filelist: Path) -> list[tuple[Path, int]]:
    """The gestures of a list in random order, as (clip, label)."""
    records = [record for record in read_list(filelist) if CLASSES[record.labels[0]] != NOTHING]
    order = np.random.default_rng(0).permutation(len(records))
    return [(records[place].path, records[place].labels[0]) for place in order]


def compose_videos(folder: Path, gestures: Path) -> None:
    """Write the long videos, their annotations `marks.csv`, and `truth.csv` of the tested video."""
    train, val = moving(gestures / "train.txt"), moving(gestures / "val.txt")
    parts = {f"train{start}": train[start : start + PER_VIDEO] for start in range(0, 1000, PER_VIDEO)}
    parts |= {f"val{start}": val[start : start + PER_VIDEO] for start in range(TESTED, TESTED + 100, PER_VIDEO)}
    parts["test"] = val[:TESTED]
    folder.mkdir(parents=True)
    marks: list[list[str]] = []
    for seed, (name, clips) in enumerate(parts.items()):
        rows = composed_rows(folder / f"{name}.mp4", clips, seed)
        if name == "test":
            write_rows(folder / "truth.csv", rows)
        else:
            marks += rows
    write_rows(folder / "marks.csv", marks)


def composed_rows(video: Path, clips: Sequence[tuple[Path, int]], seed: int) -> list[list[str]]:
    """Write a long video; returns its annotations."""
    split = video.stem.rstrip("0123456789")
    return [
        [video.name, f"{start:.3f}", f"{end:.3f}", CLASSES[label], split]
        for start, end, label in compose(video, clips, seed)
    ]


def write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write annotations as a table."""
    with path.open("w", newline="") as opened:
        csv.writer(opened).writerows([["video", "start", "end", "label", "split"], *rows])


def compose_other(work: Path, seed: int) -> Path:
    """Write a video of 200 newly drawn gestures, and return the folder with it and its `truth.csv`."""
    folder = work / f"other{seed}"
    if not (folder / "truth.csv").is_file():
        clips = moving(make_gestures(folder / "gestures", train=18, val=450, seed=seed).val_list)
        write_rows(folder / "truth.csv", composed_rows(folder / "test.mp4", clips[:TESTED], seed))
    return folder


def fine_tune(work: Path, weights: Path) -> None:
    """Make lists of the annotations and of what lies between them, and train on both."""
    videos, lists = work / "videos", work / "lists"
    background = ["--background", NOTHING, "--margin", "0", "--min-length", "0.5"]
    run("prepare", "intervals", videos / "marks.csv", "--clips", videos, "--output", lists, *background)
    settings = {"data.root": lists, "train.initial_weights": weights, **TRAINING}
    overrides = [f"{name}={value}" for name, value in settings.items()]
    run("train", "--config", "gestures/tsm", "--output", work / "run", *overrides)


def row(work: Path, framework: str, videos: Path) -> str:
    """Find the events of a folder's video in a framework, and score them."""
    output, checkpoint = videos / f"{framework}.json", work / "run/best.safetensors"
    run("timeline", videos / "test.mp4", "--checkpoint", checkpoint, "--framework", framework, "--output", output)
    truth = read_truth(videos / "truth.csv", clips=videos)
    found = matched(read_predictions([output]), truth)
    metrics = timeline_metrics(found, truth.videos)
    first, last = right_at_the_ends(found, truth.videos)
    figures = [metrics.f1[0.5], metrics.f1[0.1], metrics.edit, metrics.frame_accuracy]
    spans = next(iter(truth.videos.values())).spans
    right = sum(is_found(next(iter(found.values())).spans, span) for span in spans)
    percent = " | ".join(f"{value:.1%}" for value in figures)
    return f"| {framework} | {videos.name} | {right} of {len(spans)} | {percent} | {first} | {last} |"


def right_at_the_ends(found: Mapping[str, VideoSpans], true: Mapping[str, VideoSpans]) -> tuple[int, int]:
    """How many of the first and of the last ten true spans are found with an IoU of at least 50 %."""
    [(name, truth)] = true.items()
    spans = sorted(truth.spans, key=lambda span: span.start)
    first, last = (
        sum(is_found(found[name].spans, span) for span in part)
        for part in (spans[:AT_EITHER_END], spans[-AT_EITHER_END:])
    )
    return first, last


def is_found(spans: Sequence[Span], true: Span) -> bool:
    """Whether a true span is found with an IoU of at least 50 %."""
    return overlap_counts(spans, [true], 0.5)[0] == 1


def run(*arguments: object) -> None:
    """Run a command of Trishift; its error ends the program."""
    status = subprocess.run([sys.executable, "-m", "trishift", *map(str, arguments)]).returncode
    if status:
        raise SystemExit(status)


def main() -> None:
    """Compose, train once, and print a table of the frameworks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timelines", description=__doc__)
    parser.add_argument("work", type=Path, help="folder for everything")
    parser.add_argument("weights", type=Path, metavar="RUN", help="run of gestures/tsm")
    parser.add_argument("--frameworks", nargs="+", default=["pytorch", "paddle", "mindspore"])
    parser.add_argument("--others", type=int, default=0, metavar="N", help="videos of newly drawn gestures")
    options = parser.parse_args()
    gestures = options.work / "gestures"
    make_gestures(gestures)
    if not (options.work / "videos").is_dir():
        compose_videos(options.work / "videos", gestures)
    if not (options.work / "run/best.safetensors").is_file():
        fine_tune(options.work, options.weights)
    rows = [row(options.work, framework, options.work / "videos") for framework in options.frameworks]
    others = (compose_other(options.work, seed) for seed in range(1, options.others + 1))
    rows += [row(options.work, options.frameworks[0], folder) for folder in others]
    columns = "framework", "video", "found", "F1@50", "F1@10", "edit", "frame accuracy", "first ten", "last ten"
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
