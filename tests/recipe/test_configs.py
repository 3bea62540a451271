"""Every recipe under configs/: header, command and network; two training steps of those that cover all settings."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts.list_recipes import CONFIGS, DOCUMENT, document, read_header, recipe_files
from tests.support import isolated
from tests.support.recipe_steps import Steps, side_of, two_steps

from trishift.backends import FRAMEWORKS
from trishift.backends.pytorch import tensors
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.data.directions import mirrored_labels
from trishift.data.protocol import PROTOCOLS
from trishift.model.tensors import tensor_shapes
from trishift.recipe import Recipe, load_recipe, recipe_from_dict, recipe_to_dict

ROOT = CONFIGS.parent
RECIPES = recipe_files()
PUBLISHED = [path for path in RECIPES if path.parent.name not in ("gestures", "custom")]
DIRECTED = ("jester", "somethingv1", "somethingv2")  # data sets with directional classes
_ATTENTION = "kinetics/tsm_pp_lcnet_v2_16f_attention.yaml"
ELSEWHERE = {  # recipes of other codebases in their frameworks; plans do not depend on frameworks, networks have parity
    "mindspore": [
        *("somethingv2/tsm_r50_8f_mindspore.yaml", "kinetics/tsm_r50_vd_8f.yaml", _ATTENTION),
        "somethingv2/tdn_r50_16f.yaml",
    ],
    "paddle": [
        *("kinetics/tsm_r50_8f_paddle.yaml", "kinetics/tsm_r50_vd_8f.yaml", "jester/trn_bn_inception.yaml"),
        *("kinetics/tsm_pp_mobilenet_v2_8f.yaml", _ATTENTION, "somethingv2/tdn_r50_16f.yaml"),
    ],
}
WITHOUT_EFFECT = (  # on two steps with small batches and frames
    *("name", "input.resize", "input.crop", "input.mean", "input.std", "model.num_classes", "model.width"),
    *("data.root", "data.clips", "data.train_list", "data.val_list", "data.labels", "data.template", "data.workers"),
    *("train.epochs", "train.milestones", "train.schedule", "train.gamma", "train.lr", "train.lr_batch_size"),
    *("train.batch_size", "train.warmup_epochs", "train.initial_weights", "train.weight_decay", "train.clip_norm"),
)

recipe_of = cache(load_recipe)


def name_of(path: Path) -> str:
    return path.relative_to(CONFIGS).as_posix()


def words(command: str, program: str) -> list[str]:
    """Return the arguments of a header's command line."""
    assert command.startswith(f"python {program}.py ")
    return shlex.split(command)[2:]


def value_after(flag: str, arguments: list[str]) -> str:
    return arguments[arguments.index(flag) + 1]


@pytest.fixture(scope="module")
def both_hands(gestures: Path, two_hands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "one-hand").symlink_to(gestures)
    (folder / "two-hands").symlink_to(two_hands)
    return folder


def test_every_file_loads_and_survives_a_checkpoint() -> None:
    for path in sorted(CONFIGS.glob("*/*.yaml")):
        stored = json.dumps(recipe_to_dict(recipe_of(path)))
        assert json.dumps(recipe_to_dict(recipe_from_dict(json.loads(stored)))) == stored, path


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_header_has_source_and_command(path: Path) -> None:
    header = read_header(path)
    missing = {"Title", "Source", "Protocol", "Command"} - header.keys()
    assert not missing
    arguments = words(header["Command"], "train")
    assert ROOT / value_after("--config", arguments) == path
    if overrides := [word for word in arguments if "=" in word]:
        load_recipe(path, overrides)


@pytest.mark.parametrize("path", PUBLISHED, ids=name_of)
def test_published_recipes_state_accuracy_and_protocol(path: Path) -> None:
    header, recipe = read_header(path), recipe_of(path)
    assert header["Published"] and header["Cost"]
    arguments = words(header["Test"], "eval")
    assert value_after("--checkpoint", arguments) == f"runs/{recipe.name}/best.safetensors"
    assert "--protocol" not in arguments or value_after("--protocol", arguments) in PROTOCOLS
    assert recipe.name == f"{path.parent.name}-{path.stem.replace('_', '-')}"
    assert recipe.train.new_head and recipe.train.lr_batch_size == recipe.train.batch_size


def test_file_names_match_backbone_and_frames() -> None:
    for path in PUBLISHED:
        model = recipe_of(path).model
        kind = "trn" if model.head.consensus != "average" else "tsm" if model.shift else "tsn"
        kind = model.motion.kind if model.motion else kind
        backbone = model.backbone.replace("resnet", "r")
        frames = re.search(r"_(\d+)f", path.stem)
        assert path.stem.startswith(f"{kind}_{backbone}")
        assert frames is None or int(frames[1]) == model.num_segments, path


def test_directional_classes_are_not_flipped_without_relabeling() -> None:
    paths = [path for path in PUBLISHED if path.parent.name in DIRECTED]
    assert paths
    for path in paths:
        assert recipe_of(path).data.augmentation.flip in ("none", "swap_labels"), path


def test_flipped_jester_gestures_swap_labels() -> None:
    names = (ROOT / "src/trishift/data/labels/jester.txt").read_text(encoding="utf-8").splitlines()
    pairs = {names[label]: names[mirrored] for label, mirrored in enumerate(mirrored_labels(names)) if label < mirrored}
    assert pairs == {
        "Sliding Two Fingers Left": "Sliding Two Fingers Right",
        "Swiping Left": "Swiping Right",
        "Turning Hand Clockwise": "Turning Hand Counterclockwise",
    }


def test_default_recipe_reads_the_scripts_output() -> None:
    default = re.search(r"CONFIG:-(configs/[\w/.]+)", (ROOT / "scripts/launch.sh").read_text(encoding="utf-8"))
    assert default is not None
    data = load_recipe(ROOT / default[1], ["data.root=ROOT"]).data
    files = (data.path(str(name)) for name in (data.clips, data.train_list, data.val_list, data.labels))
    assert [path.as_posix() for path in files] == [
        "ROOT/20bn-jester-v1",
        "ROOT/train_videofolder.txt",
        "ROOT/val_videofolder.txt",
        "ROOT/categories.txt",
    ]


def test_every_network_has_canonical_tensors() -> None:
    models = {dataclasses.replace(recipe_of(path).model, num_classes=7) for path in RECIPES}
    assert len(models) > 10
    for model in models:
        with torch.device("meta"):
            network = Recognizer(model)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.tensors(network).items()}
        assert shapes == tensor_shapes(model)
        assert {id(tensor) for tensor in network.parameters()} <= {id(t) for t in tensors.tensors(network).values()}


def settings(values: dict[str, Any], section: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of the settings that have an effect on two training steps."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from settings(value, f"{section}{name}.")
        elif section + name not in WITHOUT_EFFECT:
            yield section + name, json.dumps(value)


def traits(recipe: Recipe) -> frozenset[tuple[str, str]]:
    """Its settings, and its network apart from its sizes."""
    values = recipe_to_dict(recipe)
    sizes = ("num_classes", "num_segments", "width", "dropout")
    network = {name: value for name, value in values["model"].items() if name not in sizes}
    return frozenset({*settings(values), ("network", json.dumps(network))})


def covering(paths: list[Path]) -> list[Path]:
    """Recipes that together have every network and every setting of all."""
    chosen: list[Path] = []
    found = {path: traits(recipe_of(path)) for path in paths}
    missing = frozenset[tuple[str, str]]().union(*found.values())
    while missing:
        chosen.append(max(paths, key=lambda path: len(found[path] & missing)))
        missing -= found[chosen[-1]]
    return chosen


def check(steps: Steps, path: Path) -> None:
    recipe = recipe_of(path)
    assert all(math.isfinite(loss) for loss in steps.losses) and len(steps.losses) == 2, path
    assert steps.trained == steps.expected, path
    assert not steps.disturbed, path
    views, model = recipe.evaluation.num_views, recipe.model
    assert steps.views_shape == [views, model.num_segments, model.in_channels, side_of(model), side_of(model)], path


def test_two_steps_train_the_planned_tensors(both_hands: Path) -> None:
    for path in covering(RECIPES):
        check(two_steps(path, both_hands, "pytorch"), path)


@pytest.mark.parametrize("framework", ELSEWHERE)
def test_two_steps_in_the_other_frameworks(framework: str, both_hands: Path, tmp_path: Path) -> None:
    configs = [CONFIGS / name for name in ELSEWHERE[framework]]
    isolated.experiment("recipe_steps", framework, tmp_path / "steps.json", both_hands, *configs)
    found = json.loads((tmp_path / "steps.json").read_text())
    for config in configs:
        check(Steps(**found[str(config)]), config)


def distinct(paths: list[Path]) -> list[Path]:
    """One recipe of each group whose small recipes do the same: they differ in data sets, numbers and names."""
    groups: dict[tuple[str, ...], Path] = {}
    for path in paths:
        values = recipe_to_dict(recipe_of(path))
        model = {name: value for name, value in values["model"].items() if f"model.{name}" not in WITHOUT_EFFECT}
        groups.setdefault((json.dumps(model), *sorted(map(str, settings(values)))), path)
    return list(groups.values())


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_steps_of_every_recipe(framework: str, both_hands: Path, tmp_path: Path) -> None:
    configs = distinct(RECIPES)
    assert len(configs) > 60
    isolated.experiment("recipe_steps", framework, tmp_path / "steps.json", both_hands, *configs)
    found = json.loads((tmp_path / "steps.json").read_text())
    for config in configs:
        check(Steps(**found[str(config)]), config)


def test_list_of_recipes_is_complete() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == document(text), "run: python scripts/list_recipes.py"
    assert all(f"](../configs/{name_of(path)})" in text for path in RECIPES)
    assert all(f"| `{name}` |" in text for name in PROTOCOLS)
