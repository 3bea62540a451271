"""Two training steps of recipes on small clips, in any framework.

`python -m tests.support.recipe_steps FRAMEWORK FILE GESTURES CONFIG...` writes the results as one JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from trishift.backends import open_session
from trishift.backends.contract import MicroBatch
from trishift.data.loader import Loader
from trishift.data.opening import open_datasets
from trishift.errors import RecipeError
from trishift.model.backbones import BACKBONES
from trishift.model.feature_maps import check_size
from trishift.model.spec import ModelSpec
from trishift.recipe import Recipe, load_recipe
from trishift.training.draws import draw_step
from trishift.training.mutual import Peer
from trishift.training.parameter_groups import frozen_layers, frozen_norms, optimization_plan
from trishift.training.run import with_classes

BATCH = 2
SMALL = [
    *("data.clips=null", "data.template=null", "data.workers=1"),
    *(f"train.batch_size={BATCH}", "train.warmup_epochs=0", "execution.compile=false"),
]


@dataclass(frozen=True)
class Steps:
    """Two steps of a recipe.

    Attributes:
        losses: one per step.
        trained: tensors with momentum (tiny gradients may not change a tensor in two steps).
        expected: tensors that the recipe trains.
        disturbed: tensors of frozen layers that changed, running statistics included.
        views_shape: (V, T, C, H, W) of a validation clip.
    """

    losses: list[float]
    trained: list[str]
    expected: list[str]
    disturbed: list[str]
    views_shape: list[int]


def side_of(model: ModelSpec) -> int:
    """Pixels on a side of the frames: few, but enough for every layer."""
    return next(side for side in (32, 48, 75) if suits(model, side))


def suits(model: ModelSpec, side: int) -> bool:
    try:
        check_size(model, (side, side))
    except RecipeError:
        return False
    return True


def small_recipe(config: Path, gestures: Path) -> Recipe:
    """The recipe on gestures of one or two hands, with small frames and an eighth of the width."""
    model = load_recipe(config).model
    root, suffix = (gestures / "two-hands", "csv") if model.multi_label else (gestures / "one-hand", "txt")
    lists = [f"data.train_list=train.{suffix}", f"data.val_list=val.{suffix}", "data.labels=labels.txt"]
    side = side_of(model)
    overrides = [*SMALL, f"input.resize={side}", f"input.crop={side}", f"data.root={root}", *lists]
    if "width" in BACKBONES[model.backbone].options:
        overrides.append("model.width=8")
    return load_recipe(config, overrides)


def two_steps(config: Path, gestures: Path, framework: str) -> Steps:
    """Train the small recipe for two steps."""
    recipe = small_recipe(config, gestures)
    train_set, val_set = open_datasets(recipe.data, recipe.input, recipe.model, recipe.evaluation)
    recipe = with_classes(recipe, train_set)
    session = open_session(framework, recipe.model, recipe.execution)
    factor = 5.0 if recipe.train.head_lr_mult == "stable" else recipe.train.head_lr_mult
    rules = replace(recipe.train, head_lr_mult=factor)
    plan = optimization_plan(session.parameters(), rules, recipe.input.modality)
    peer = Peer(recipe, session) if rules.distillation.mutual else None
    if peer is not None:
        peer.restore(rules, 0, {})
    session.prepare_training(plan)
    before = session.dump_tensors()
    losses = []
    batches = Loader(train_set, BATCH, shuffle=True, workers=1, drop_last=True).batches(0)
    for step, batch in zip(range(2), batches, strict=False):
        draws = draw_step(recipe.model, BATCH, 0, step)
        clips, rule = batch.clips[:, 0], train_set.normalization
        if peer is not None and rule is not None:
            clips, rule = rule(clips), None
        parts = [MicroBatch(clips, batch.targets, draws, normalization=rule)]
        if peer is not None:
            parts = peer.learn(parts, recipe.train.lr, step)
        result = session.train_step(parts, recipe.train.lr)
        losses.append(result.loss)
    after, state = session.dump_tensors(), session.dump_optimizer()
    moved = {entry.partition(".")[2] for entry, array in state.items() if array.any() and not entry.startswith("step.")}
    parameters = session.parameters()
    frozen = frozen_norms(parameters, rules) | frozen_layers(parameters, rules, epoch=0)
    names = [info.name for info in parameters]
    for each in (session, *([] if peer is None else [peer.session])):
        each.close()
    return Steps(
        losses,
        trained=[name for name in names if name in moved],
        expected=[name for name in names if name.rpartition(".")[0] not in frozen],
        disturbed=[n for n in before if n.rpartition(".")[0] in frozen and not np.array_equal(before[n], after[n])],
        views_shape=list(val_set.load(0).clips.shape),
    )


def main(framework: str, file: str, gestures: str, *configs: str) -> None:
    found = {config: asdict(two_steps(Path(config), Path(gestures), framework)) for config in configs}
    Path(file).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
