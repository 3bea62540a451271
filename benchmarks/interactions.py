"""Fine-tuning on real clips: UT-Interaction (120 clips, 6 classes, Ryoo & Aggarwal, SDHA 2010).

    python -m benchmarks.interactions probe CLIPS WEIGHTS       linear classifiers on frozen ImageNet features
    python -m benchmarks.interactions folds CLIPS WEIGHTS       TSN, TSM and TRN, 5 folds by sequence
    python -m benchmarks.interactions reversed CLIPS RUNS       which way does the clip run? TSN against TSM
    python -m benchmarks.interactions sources CLIPS WEIGHTS     the same recipe on videos and on extracted frames

CLIPS contains one folder per class and `labels.csv` (columns path, label, sequence). WEIGHTS is a MobileNetV2 file.
RUNS is the output of the quickstart, whose gesture models are the starting point of `reversed`. The benchmark runs
`trishift prepare` and `trishift train` with the recipes of the gestures or custom/finetune, the latter from a drawn
head and with SGD. Accuracies are those of the last epoch, never of the best one. Finished runs are not repeated;
`key=value` overrides the recipe.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, pstdev

import numpy as np
from benchmarks.finetuning import DRAWN, PIXELS

from trishift.data.lists import read_list, write_list
from trishift.training.sinks import read_metrics

CONFIGS = Path(__file__).parents[1] / "configs"
CONFIG = CONFIGS / "custom" / "finetune.yaml"
FOLDS = 5
SHORT_SIDE = 128
MODELS = {
    "tsn": ["model.shift=null"],
    "tsm": [],
    "trn": ["model.shift=null", "model.head.consensus=multiscale_relation"],
}
DIRECTIONS = [  # for the gestures' recipes
    *("train.epochs=80", "train.evaluate_every=10", "train.batch_size=16", "train.lr=0.02", "train.new_head=true"),
    *("model.dropout=0.3", "input.resize=72", "input.crop=64", "data.augmentation.flip=mirror"),
]


def trishift(*arguments: str, log: Path | None = None) -> None:
    """Run a `trishift` command, with its output in `log` if given."""
    output = log.open("w") if log else None
    subprocess.run([sys.executable, "-m", "trishift", *arguments], check=True, stdout=output, stderr=output)


def prepare(clips: Path, lists: Path) -> None:
    """Write lists of five folds; each sequence is in one fold only."""
    if not (lists / "labels.txt").is_file():
        groups = ["--groups", "labels.csv:sequence"]
        trishift("prepare", "folder", str(clips), "--output", str(lists), *groups, "--folds", str(FOLDS))


@dataclass(frozen=True)
class Start:
    """A recipe, its initial weights, and its overrides."""

    config: Path
    weights: Path
    overrides: list[str]


def fine_tuning(options: argparse.Namespace, *overrides: str) -> Start:
    """Fine-tuning from ImageNet weights."""
    return Start(CONFIG, options.weights, [*PIXELS, *DRAWN, "data.cache=true", *overrides])


def train(run: Path, lists: Path, clips: Path, fold: int, options: argparse.Namespace, start: Start) -> float:
    """Top-1 of the last epoch of a run, which is trained unless it is finished."""
    if not (run / "done").is_file():
        run.mkdir(parents=True, exist_ok=True)
        trishift(
            "train", "--config", str(start.config), "--framework", options.framework, "--output", str(run),
            "--overwrite", f"data.root={lists.absolute()}", f"data.clips={clips.absolute()}",
            f"data.train_list=train_{fold}.txt", f"data.val_list=val_{fold}.txt",
            "data.labels=labels.txt", f"train.initial_weights={start.weights.absolute()}",
            *start.overrides, *options.overrides, log=run / "log.txt",
        )  # fmt: skip
        (run / "done").touch()
    return float(read_metrics(run, "evaluation")[-1]["top1"])


def run_folds(options: argparse.Namespace) -> None:
    """TSN and TSM on every fold, TRN on the first."""
    lists = options.work / "folds"
    prepare(options.clips, lists)
    print("| model | top-1 of each fold | mean | spread |\n|---|---|---|---|", flush=True)
    for model in options.models:
        folds = range(1 if model == "trn" else options.folds)
        name = f"{options.name}{model}"
        start = fine_tuning(options, *MODELS[model])
        tops = [train(options.work / f"{name}-{i}", lists, options.clips, i, options, start) for i in folds]
        each = ", ".join(f"{top:.1%}" for top in tops)
        print(f"| {model.upper()} | {each} | {fmean(tops):.1%} | {pstdev(tops):.1%} |", flush=True)


def read_frames(path: Path) -> np.ndarray:
    """All frames of a video, (F, h, w, 3) uint8, with the short side at 128 pixels."""
    from PIL import Image

    from trishift.data.sources import open_clip

    with open_clip(path) as source:
        frames = source.read(np.arange(source.num_frames))
    scale = SHORT_SIDE / min(frames.shape[1:3])
    width, height = (2 * round(side * scale / 2) for side in (frames.shape[2], frames.shape[1]))
    return np.stack([np.asarray(Image.fromarray(frame).resize((width, height))) for frame in frames])


def reverse(clips: Path, output: Path) -> None:
    """Write every clip forward and backward, so that both directions decode to the same pixels."""
    from trishift.data.gestures.encoding import write_clip

    with (clips / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    written = []
    for row in rows:
        frames = read_frames(clips / row["path"])
        for direction, ordered in (("forward", frames), ("backward", frames[::-1])):
            path = Path(direction) / f"{row['label']}_{Path(row['path']).stem}.mp4"
            (output / path).parent.mkdir(parents=True, exist_ok=True)
            write_clip(output / path, ordered)
            written.append((path, row["sequence"]))
    with (output / "labels.csv").open("w", encoding="utf-8") as file:
        file.write("path,sequence\n" + "".join(f"{path},{sequence}\n" for path, sequence in written))


def run_reversed(options: argparse.Namespace) -> None:
    """TSN against TSM on two classes that differ only in the order of their frames."""
    clips, lists = options.work / "reversed", options.work / "reversed-lists"
    if not (clips / "labels.csv").is_file():
        reverse(options.clips, clips)
    prepare(clips, lists)
    print("| model | top-1 of each fold | mean |\n|---|---|---|", flush=True)
    for model in [model for model in ("tsn", "tsm") if model in options.models]:
        start = Start(CONFIGS / "gestures" / f"{model}.yaml", options.weights / model / "last.safetensors", DIRECTIONS)
        runs = [options.work / f"{options.name}reversed-{model}-{i}" for i in range(options.folds)]
        tops = [train(run, lists, clips, i, options, start) for i, run in enumerate(runs)]
        print(f"| {model.upper()} | {', '.join(f'{top:.1%}' for top in tops)} | {fmean(tops):.1%} |", flush=True)


def run_sources(options: argparse.Namespace) -> None:
    """One epoch of TSM on videos and on the same frames as PNG files; the losses must be identical."""
    lists, frames, frame_lists = options.work / "folds", options.work / "frames", options.work / "frame-lists"
    prepare(options.clips, lists)
    frame_lists.mkdir(parents=True, exist_ok=True)
    (frame_lists / "labels.txt").write_bytes((lists / "labels.txt").read_bytes())
    for name in ("train_0.txt", "val_0.txt"):
        of_frames = []
        for record in read_list(lists / name):
            folder = frames.absolute() / record.path.relative_to(options.clips.absolute()).with_suffix("")
            save_frames(record.path, folder)
            of_frames.append(replace(record, path=folder))
        write_list(frame_lists / name, of_frames)
    short = fine_tuning(options, "train.epochs=1")
    top_video = train(options.work / "sources-video", lists, options.clips, 0, options, short)
    top_frames = train(options.work / "sources-frames", frame_lists, frames, 0, options, short)
    losses = [step_losses(options.work / name) for name in ("sources-video", "sources-frames")]
    print(f"videos: top-1 {top_video:.2%}, frames: top-1 {top_frames:.2%}; {len(losses[0])} step losses, "
          f"{'all equal' if losses[0] == losses[1] else 'different'}")  # fmt: skip


def save_frames(video: Path, folder: Path) -> None:
    """Write every frame of a video as a PNG file, unless the folder exists."""
    from PIL import Image

    from trishift.data.sources import open_clip

    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    with open_clip(video) as source:
        for number, frame in enumerate(source.read(np.arange(source.num_frames)), 1):
            Image.fromarray(frame).save(folder / f"img_{number:05d}.png", compress_level=1)


def step_losses(run: Path) -> list[float]:
    """The training loss of every step."""
    return [record["loss"] for record in read_metrics(run, "train")]


def run_probe(options: argparse.Namespace) -> None:
    """Logistic regression on frozen features of frames, averaged and in order."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    lists = options.work / "folds"
    prepare(options.clips, lists)
    features = frame_features(options.weights, lists)
    shapes = {"frames averaged": lambda x: x.mean(0), "frames in order": lambda x: x.reshape(-1)}
    print("| features | top-1 of each fold | mean |\n|---|---|---|")
    for name, shape in shapes.items():
        tops = []
        for fold in range(FOLDS):
            parts = [read_list(lists / f"{part}_{fold}.txt") for part in ("train", "val")]
            (x, y), (test_x, test_y) = (
                (np.stack([shape(features[clip.path]) for clip in part]), [clip.labels[0] for clip in part])
                for part in parts
            )
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)).fit(x, y)
            tops.append(float(model.score(test_x, test_y)))
        print(f"| {name} | {', '.join(f'{top:.1%}' for top in tops)} | {fmean(tops):.1%} |")


def frame_features(weights: Path, lists: Path) -> dict[Path, np.ndarray]:
    """Pooled features (8, 1280) of the frames that TSM samples in evaluation, by path."""
    import trishift
    from trishift.data.clip_reader import ClipReader
    from trishift.data.dataset import EvaluationSet
    from trishift.data.protocol import Protocol
    from trishift.recipe import load_recipe

    recipe = load_recipe(CONFIG, [*PIXELS, "model.shift=null"])
    model = trishift.load(weights, num_segments=recipe.model.num_segments)
    found = {}
    for name in ("train_0.txt", "val_0.txt"):
        records = read_list(lists / name)
        dataset = EvaluationSet(records, model.labels, ClipReader(recipe.input, recipe.model), Protocol())
        for index, record in enumerate(records):
            found[record.path] = model.features(dataset.load(index).clips, ["pooled"])["pooled"][0]
    return found


def main() -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs = {"probe": run_probe, "folds": run_folds, "reversed": run_reversed, "sources": run_sources}
    parser.add_argument("what", choices=runs)
    parser.add_argument("clips", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("overrides", nargs="*", help="section.key=value")
    parser.add_argument("--work", type=Path, default=Path("runs/interactions"), help="default: runs/interactions")
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--folds", type=int, default=FOLDS, help="number of the five folds to run")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--name", default="", help="prefix of the runs' names, for other settings")
    options = parser.parse_intermixed_args()
    runs[options.what](options)


if __name__ == "__main__":
    main()
