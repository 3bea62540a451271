"""Every recipe under configs/: header, command, network, and two training steps on small clips."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
from pathlib import Path

import pytest
import torch
from scripts.list_recipes import CONFIGS, DOCUMENT, document, read_header, recipe_files
from tests.support import isolated
from tests.support.recipe_steps import Steps, two_steps

from trishift.backends.pytorch import tensors
from trishift.backends.pytorch.recognizer import Recognizer
from trishift.data.directions import mirrored_labels
from trishift.data.protocol import PROTOCOLS
from trishift.model.tensors import tensor_shapes
from trishift.recipe import load_recipe, recipe_from_dict, recipe_to_dict

ROOT = CONFIGS.parent
RECIPES = recipe_files()
PUBLISHED = [path for path in RECIPES if path.parent.name not in ("gestures", "custom")]
DIRECTED = ("jester", "somethingv1", "somethingv2")  # data sets with directional classes
ELSEWHERE = {  # representative recipes, each framework in its own process
    "mindspore": ["somethingv2/tsm_r50_8f_mindspore.yaml", "somethingv1/trn_bn_inception_3f.yaml"],
    "paddle": ["kinetics/tsm_r50_8f_paddle.yaml", "jester/trn_bn_inception.yaml", "somethingv1/msn_r50_8f.yaml"],
}


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


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/*.yaml")), ids=name_of)
def test_every_file_loads_and_survives_a_checkpoint(path: Path) -> None:
    stored = json.dumps(recipe_to_dict(load_recipe(path)))
    assert json.dumps(recipe_to_dict(recipe_from_dict(json.loads(stored)))) == stored


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_header_has_source_and_command(path: Path) -> None:
    header = read_header(path)
    missing = {"Title", "Source", "Protocol", "Command"} - header.keys()
    assert not missing
    arguments = words(header["Command"], "train")
    assert ROOT / value_after("--config", arguments) == path
    load_recipe(path, [word for word in arguments if "=" in word])


@pytest.mark.parametrize("path", PUBLISHED, ids=name_of)
def test_published_recipes_state_accuracy_and_protocol(path: Path) -> None:
    header, recipe = read_header(path), load_recipe(path)
    assert header["Published"] and header["Cost"]
    arguments = words(header["Test"], "eval")
    assert value_after("--checkpoint", arguments) == f"runs/{recipe.name}/best.safetensors"
    assert "--protocol" not in arguments or value_after("--protocol", arguments) in PROTOCOLS
    assert recipe.name == f"{path.parent.name}-{path.stem.replace('_', '-')}"
    assert recipe.train.new_head and recipe.train.lr_batch_size == recipe.train.batch_size


@pytest.mark.parametrize("path", PUBLISHED, ids=name_of)
def test_file_names_match_backbone_and_frames(path: Path) -> None:
    model = load_recipe(path).model
    kind = "trn" if model.head.consensus != "average" else "msn" if model.motion else "tsm" if model.shift else "tsn"
    backbone = model.backbone.replace("resnet", "r")
    frames = re.search(r"_(\d+)f", path.stem)
    assert path.stem.startswith(f"{kind}_{backbone}")
    assert frames is None or int(frames[1]) == model.num_segments


@pytest.mark.parametrize("path", [p for p in PUBLISHED if p.parent.name in DIRECTED], ids=name_of)
def test_directional_classes_are_not_flipped_without_relabeling(path: Path) -> None:
    assert load_recipe(path).data.augmentation.flip in ("none", "swap_labels")


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
    models = {dataclasses.replace(load_recipe(path).model, num_classes=7) for path in RECIPES}
    assert len(models) > 10
    for model in models:
        with torch.device("meta"):
            network = Recognizer(model)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.tensors(network).items()}
        assert shapes == tensor_shapes(model)
        assert {id(tensor) for tensor in network.parameters()} <= {id(t) for t in tensors.tensors(network).values()}


def check(steps: Steps, path: Path) -> None:
    recipe = load_recipe(path)
    assert all(math.isfinite(loss) for loss in steps.losses) and len(steps.losses) == 2
    assert steps.trained == steps.expected
    assert not steps.disturbed
    views, model = recipe.evaluation.num_views, recipe.model
    assert steps.views_shape == [views, model.num_segments, model.in_channels, 32, 32]


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_two_steps_train_the_planned_tensors(path: Path, both_hands: Path) -> None:
    check(two_steps(path, both_hands, "pytorch"), path)


@pytest.mark.parametrize("framework", ELSEWHERE)
def test_two_steps_in_the_other_frameworks(framework: str, both_hands: Path) -> None:
    configs = [str(CONFIGS / name) for name in ELSEWHERE[framework]]
    printed = isolated.python("-m", "tests.support.recipe_steps", framework, both_hands, *configs)
    found = json.loads(printed.splitlines()[-1])
    for config in configs:
        check(Steps(**found[config]), Path(config))


def test_list_of_recipes_is_complete() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text == document(text), "run: python scripts/list_recipes.py"
    assert all(f"](../configs/{name_of(path)})" in text for path in RECIPES)
    assert all(f"| `{name}` |" in text for name in PROTOCOLS)
