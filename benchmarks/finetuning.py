"""Fine-tuning against the probe on small sets of real clips: why it loses, and which recipe wins.

    python -m benchmarks.finetuning causes CLIPS WEIGHTS        loss of the probe's head, one disturbance at a time
    python -m benchmarks.finetuning recipes CLIPS WEIGHTS       recipes over folds and seeds, against the probe

CLIPS contains the folders `ut_interaction` and `basketball5`, each with one folder per class and `labels.csv`. WEIGHTS
is a MobileNetV2 file. `directions` plays UT-Interaction forward and backward, as two classes; `gestures-N` is the
built-in set with N clips per class. Five folds and three seeds are the whole
measurement; `--folds-run 1 --seeds 1` is a portion of it. Finished runs are not repeated.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from trishift.backends.contract import Draws, MicroBatch
from trishift.data.gestures import make_gestures
from trishift.data.loader import Loader
from trishift.data.opening import open_datasets
from trishift.data.prepare.folds import Folds, open_folds
from trishift.recipe import Recipe, load_recipe
from trishift.training.comparison import Comparison
from trishift.training.draws import draw_step
from trishift.training.finetune import FineTuning
from trishift.training.head_start import prepare_head
from trishift.training.parameter_groups import optimization_plan
from trishift.training.probe_study import study_probe
from trishift.training.transfer import open_transfer, recipe_for
from trishift.zoo.sources import WeightSource

GROUPS = {"ut_interaction": "labels.csv:sequence", "basketball5": "labels.csv:group"}
PIXELS = ["input.mean=[0.5,0.5,0.5]", "input.std=[0.5,0.5,0.5]"]  # of the MobileNetV2 that TensorFlow published
DRAWN = [
    *(
        "train.head_start=drawn",
        "train.head_lr_mult=5",
        "train.optimizer=sgd",
        "train.lr=5e-4",
        "train.weight_decay=1e-4",
    ),
    *("train.frozen_bn=false", "train.partial_bn=true", "model.dropout=0.5", "train.freeze=[]"),
]
FROZEN = ["train.frozen_bn=true", "train.partial_bn=false"]
PROBE = ["train.head_start=probe", "train.head_lr_mult=stable"]
ADAMW = ["train.optimizer=adamw", "train.weight_decay=0.05"]
RECIPES = {  # overrides of custom/finetune
    "custom/finetune": [],
    "drawn head": ["train.head_start=drawn"],
    "all stages": ["train.freeze=[]"],
    "label smoothing": ["train.loss.label_smoothing=0.1"],
    "EMA": ["train.ema=0.99"],
    "layer decay": ["train.layer_decay=0.75"],
    "precise batch norms": ["train.precise_bn=20"],
    "mixup": ["train.mixing.mixup=0.2"],
    "VideoMix": ["train.mixing.videomix=1", "train.mixing.probability=0.5"],
    "RandAugment": ["data.augmentation.rand_augment.operations=2"],
    "color jitter": [f"data.augmentation.color.{name}=0.4" for name in ("brightness", "contrast", "saturation")],
    "random erasing": ["data.augmentation.erasing.probability=0.25"],
    "training at 128 pixels": ["data.augmentation.size=null"],
    "frozen norms": ["train.frozen_bn=true"],
    "2018": [*DRAWN],
    "2018, frozen norms": [*DRAWN, *FROZEN],
    "probe head, frozen norms": [*DRAWN, *FROZEN, *PROBE, "model.dropout=0"],
    "probe head, frozen norms, AdamW": [*DRAWN, *FROZEN, *PROBE, "model.dropout=0", *ADAMW, "train.lr=1e-4"],
}
DISTURBANCES = {  # overrides, and whether dropout applies
    "evaluation view": None,
    "random frames": ["data.augmentation.scales=[1.0]", "data.augmentation.flip=none", *FROZEN, "model.dropout=0"],
    "and flips": ["data.augmentation.scales=[1.0]", *FROZEN, "model.dropout=0"],
    "and crops": [*FROZEN, "model.dropout=0"],
    "and dropout 0.5": [*FROZEN, "model.dropout=0.5"],
    "and batch statistics in the first norm": ["model.dropout=0.5", "train.frozen_bn=false", "train.partial_bn=true"],
}


def open_set(name: str, options: argparse.Namespace) -> Folds:
    """The clips of a set in folds, of which only the first `--folds-run` are kept."""
    work = options.work / name
    if name == "directions":
        from benchmarks.interactions import reverse

        if not (work / "clips" / "labels.csv").is_file():
            reverse(options.clips / "ut_interaction", work / "clips")
        folds = open_folds(work / "clips", work / "data", folds=options.folds, groups="labels.csv:sequence")
    elif name.startswith("gestures-"):
        clips = 9 * int(name.removeprefix("gestures-"))
        made = make_gestures(work / "clips", train=clips + clips % 18, val=18, size=112)
        made.val_list.unlink(missing_ok=True)
        folds = open_folds(work / "clips", work / "data", folds=options.folds)
    else:
        folds = open_folds(options.clips / name, work / "data", folds=options.folds, groups=GROUPS[name])
    return replace(folds, validated=folds.validated[: options.folds_run])


def recipe_of(folds: Folds, options: argparse.Namespace, *overrides: str) -> Recipe:
    """The custom recipe with overrides, the command line's last."""
    changes = [*PIXELS, "data.cache=true", *overrides, *options.overrides]
    return recipe_for(load_recipe("custom/finetune"), WeightSource(options.weights), folds, changes)


def compare(name: str, options: argparse.Namespace) -> Iterator[str]:
    """Rows of the table: the probe, and every recipe."""
    folds = open_set(name, options)
    recipe = recipe_of(folds, options, "model.dropout=0")
    study = study_probe(recipe, open_transfer(recipe, options.framework, folds.labels), folds)
    runs = f"{len(folds)} of {options.folds} folds, {study.validated.sum()} clips"
    yield f"| {name} ({runs}) | always the most frequent class | {study.majority:.1%} | | |"
    yield f"| | probe | {study.result.mean:.1%} | {study.result.low:.1%} to {study.result.high:.1%} | |"
    for title in options.recipes:
        slug = re.sub(r"\W+", "-", title)
        tuning = FineTuning(
            recipe_of(folds, options, *RECIPES[title]),
            *(options.framework, folds, options.seeds, (options.work / name / slug).absolute()),
        )
        tuning.write_lists()
        result = Comparison(study, {seed: tuning.score(seed) for seed in options.seeds})
        found, gain = result.result, result.gained
        yield (
            f"| | {title} | {found.mean:.1%} | {found.low:.1%} to {found.high:.1%} "
            f"| {100 * gain.mean:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f}) |"
        )


def run_recipes(options: argparse.Namespace) -> None:
    """Print the table of all sets."""
    rows = [row for name in options.sets for row in compare(name, options)]
    print("\n| set | recipe | top-1 | 95 % interval | points over the probe |\n|---|---|---:|---|---|")
    print("\n".join(rows))


def run_causes(options: argparse.Namespace) -> None:
    """Print the loss of the probe's head on its own training clips, under one disturbance after another."""
    print("| training clips | loss |\n|---|---:|")
    for name in options.sets:
        folds = open_set(name, options)
        tuning = FineTuning(recipe_of(folds, options), options.framework, folds, (0,), options.work / name)
        tuning.write_lists()
        start = replace(tuning.recipe_of(0, 0), train=replace(tuning.recipe.train, head_start="probe"))
        session = open_transfer(start, options.framework, folds.labels)
        prepare_head(start, session, None)
        weights = session.dump_tensors()
        for title, overrides in DISTURBANCES.items():
            recipe = recipe_of(folds, options, *(overrides or [*FROZEN, "model.dropout=0"]))
            recipe = replace(recipe, data=replace(tuning.recipe_of(0, 0).data, augmentation=recipe.data.augmentation))
            session.load_tensors(weights)
            loss = training_loss(recipe, session, options.batches, evaluation=overrides is None)
            print(f"| {name}, {title} | {loss:.2f} |", flush=True)


def training_loss(recipe: Recipe, session: object, batches: int, *, evaluation: bool) -> float:
    """Mean loss over the first batches, without any step."""
    from trishift.backends.session import Session
    from trishift.training.head_start import training_views

    assert isinstance(session, Session)
    train_set, _ = open_datasets(recipe.data, recipe.input, recipe.model, recipe.evaluation, validate=False)
    train = replace(recipe.train, head_lr_mult=1.0)
    session.prepare_training(optimization_plan(session.parameters(), train, recipe.input.modality))
    clips = training_views(recipe) if evaluation else train_set
    losses = []
    loader = Loader(clips, train.batch_size, shuffle=True, workers=1)
    for number, batch in zip(range(batches), loader.batches(0), strict=False):
        draws = draw_step(recipe.model, len(batch.targets), 0, number) if recipe.model.dropout else Draws(None)
        losses.append(
            session.gradients(
                MicroBatch(batch.clips[:, 0], batch.targets, draws, normalization=train_set.normalization)
            )[0]
        )
    return float(np.mean(losses))


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("causes", "recipes"))
    parser.add_argument("clips", type=Path)
    parser.add_argument("weights")
    parser.add_argument("overrides", nargs="*", help="section.key=value")
    parser.add_argument("--work", type=Path, default=Path("runs/finetuning"), help="default: runs/finetuning")
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument(
        "--sets", nargs="+", default=["ut_interaction", "basketball5"], help="also directions and gestures-N"
    )
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--folds-run", type=int, default=5, help="number of the folds to train")
    parser.add_argument("--seeds", type=lambda text: tuple(map(int, text.split(","))), default=(1, 2, 3))
    parser.add_argument("--batches", type=int, default=8, help="batches of `causes`")
    options = parser.parse_intermixed_args()
    {"causes": run_causes, "recipes": run_recipes}[options.what](options)


if __name__ == "__main__":
    main()
