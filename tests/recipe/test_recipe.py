"""Recipes: inheritance, overrides, and one-line errors with file, line and nearest key."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from tests.support.recipes import BASE, write

from trishift.backends.contract import OptimizerSpec
from trishift.errors import RecipeError
from trishift.model.losses import LossSpec
from trishift.model.spec import CAFFE_INPUT, InputSpec, ModelSpec, ShiftSpec
from trishift.recipe import Recipe, TrainSpec, load_recipe, recipe_from_dict, recipe_to_dict, save_recipe
from trishift.recipe.renames import RENAMED


def test_child_merges_into_base_and_overrides_win(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    child = write(tmp_path, "child.yaml", "base: base.yaml\nname: child\ntrain: {epochs: 7}\n")
    recipe = load_recipe(child, ["train.lr=0.5", "model.shift.direction=unidirectional"])
    assert (recipe.name, recipe.train.epochs, recipe.train.lr) == ("child", 7, 0.5)
    assert recipe.train.milestones == (2, 4)
    assert recipe.model.shift == ShiftSpec(div=8, direction="unidirectional")


def test_loss_determines_multi_label(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", BASE)
    assert not load_recipe(base).model.multi_label
    short = load_recipe(write(tmp_path, "short.yaml", "base: base.yaml\ntrain: {loss: lsep}\n"))
    assert short == load_recipe(write(tmp_path, "long.yaml", "base: base.yaml\ntrain: {loss: {name: lsep}}\n"))
    assert short == load_recipe(base, ["train.loss=lsep"]) and short.model.multi_label
    weighted = load_recipe(tmp_path / "short.yaml", ["train.loss=bce", "train.loss.class_weights=inverse_frequency"])
    assert weighted.train.loss == LossSpec("bce", class_weights="inverse_frequency")


RENAMES = [(*old.rsplit(".", 1), new) for old, new in RENAMED.items()]


@pytest.mark.parametrize(("section", "old", "new"), RENAMES, ids=[f"{section}.{old}" for section, old, _ in RENAMES])
def test_renamed_keys_work_with_a_warning(
    section: str, old: str, new: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mode = "paddle" if "paddle" in new else "uniform"
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(nested(section, {old: True, "mode": mode})))
    in_file = load_recipe(tmp_path / "old.yaml")
    (tmp_path / "empty.yaml").write_text("")
    on_the_command_line = load_recipe(tmp_path / "empty.yaml", [f"{section}={{mode: {mode}, {old}: true}}"])
    assert getattr(getattr(in_file, section.split(".")[0]).sampling, new) is True
    assert on_the_command_line == in_file
    assert all(f"{section}.{old} is now called {new}" in record.message for record in caplog.records)
    assert len(caplog.records) == 2
    assert (
        recipe_from_dict(nested(section, {old: True, "mode": mode})) == in_file
    )  # no warning for a recipe stored in a checkpoint
    assert len(caplog.records) == 2


def test_rejects_a_key_under_both_names(tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text("data: {sampling: {legacy_random_test: true, legacy_random_evaluation: false}}")
    with pytest.raises(RecipeError, match=r"both\.yaml: data\.sampling\.legacy_random_test is the old name of"):
        load_recipe(tmp_path / "both.yaml")


def test_error_in_a_renamed_key_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("evaluation:\n  sampling:\n    legacy_paddle_centre: 7\n")
    with pytest.raises(RecipeError, match=r"old\.yaml:3: evaluation\.sampling\.legacy_paddle_center"):
        load_recipe(tmp_path / "old.yaml")


def nested(dotted: str, value: object) -> dict[str, Any]:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return cast(dict[str, Any], value)


def test_adamw_has_no_nesterov(tmp_path: Path) -> None:
    path = write(tmp_path, "r.yaml", "train: {optimizer: adamw}\n")
    assert load_recipe(path).train.optimizer == OptimizerSpec("adamw")
    assert load_recipe(path, ["train.optimizer.epsilon=1e-6"]).train.optimizer == OptimizerSpec("adamw", epsilon=1e-6)
    with pytest.raises(RecipeError, match=r"override 'train.nesterov=true': train\.nesterov: adamw has no such option"):
        load_recipe(path, ["train.nesterov=true"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "train: {best: {metric: top2}}",
            r"r\.yaml:1: train\.best\.metric: 'top2' is not reported; choose f",
        ),
        (
            "train: {precise_bn: 2, frozen_bn: true}",
            r"r\.yaml:1: train\.precise_bn: train\.frozen_bn leaves",
        ),
        ("train: {lr_floor: 0.1}", r"r\.yaml:1: train\.lr_floor: is for the cosine schedule"),
        ("train: {warmup_steps: 5, warmup_epochs: 1}", r"r\.yaml:1: train\.warmup_steps: train\.warmup_epochs is set"),
        (
            "train: {freeze: [stem, layer9]}",
            r"r\.yaml:1: train\.freeze\.stages: resnet50 has no stage 'layer9'",
        ),
        (
            "train: {freeze: {stages: [stem], until: [1, 2]}}",
            r"r\.yaml:1: train\.freeze\.until: 2 numbers for 1",
        ),
        ("model: {backbone: bn_inception}\ntrain: {freeze: layer1}", r"r\.yaml:2: .* choose from stem, inception_3, "),
        (
            "model: {backbone: mobilenet_v2}\ntrain:\n  stochastic_depth: 0.1",
            r"r\.yaml:3: train\.stochastic_depth: mobilenet_v2 cannot skip its blocks",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path, "r.yaml", text))


def test_null_removes_a_section(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    assert load_recipe(write(tmp_path, "tsn.yaml", "base: base.yaml\nmodel: {shift: null}\n")).model.shift is None


def test_saved_recipe_has_no_passwords(tmp_path: Path) -> None:
    address = "train.initial_weights=https://ann:secret@example.org/w.pth"
    recipe = load_recipe(write(tmp_path, "base.yaml", BASE), [address])
    save_recipe(recipe, tmp_path / "recipe.yaml")
    assert "secret" in str(recipe.train.initial_weights)
    assert load_recipe(tmp_path / "recipe.yaml").train.initial_weights == "https://example.org/w.pth"


def test_saved_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "base.yaml", BASE), ["model.shift.placement=[layer1.0, layer2.1]"])
    save_recipe(recipe, tmp_path / "saved.yaml")
    assert load_recipe(tmp_path / "saved.yaml") == recipe


def test_inception_v3_gets_caffe_pixels_of_299_by_default(tmp_path: Path) -> None:
    found = load_recipe(write(tmp_path, "r.yaml", "model: {backbone: inception_v3}\n")).input
    assert found == replace(CAFFE_INPUT, resize=341, crop=299)


def test_bn_inception_gets_caffe_pixels_by_default(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "r.yaml", "model: {backbone: bn_inception}\ninput: {crop: 64, resize: 72}\n"))
    assert (recipe.input.channel_order, recipe.input.scale, recipe.input.crop) == ("bgr", 1.0, 64)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model:\n  backbon: resnet18\n", ["r.yaml:2", "unknown key 'model.backbon'", "'backbone'"]),
        ("modle:\n  backbone: resnet18\n", ["r.yaml:1", "'modle'", "'model'"]),
        ("model:\n  shift:\n    dvi: 8\n", ["r.yaml:3", "'model.shift.dvi'", "'div'"]),
        ("train:\n  epochs: many\n", ["r.yaml:2", "train.epochs", "'many'"]),
        ("model:\n  backbone: resnet19\n", ["r.yaml:2", "model.backbone", "resnet18"]),
        ("model:\n  backbone: bn_inception\ninput:\n  scale: 0.00392\n", ["r.yaml", "bn_inception", "BGR"]),
        (
            "model:\n  temporal_pool: true\n  num_segments: 7\n",
            ["r.yaml:2", "model.temporal_pool: num_segments must be even"],
        ),
        ("model:\n  backbone: resnet18\n  non_local: true\n", ["r.yaml", "non_local", "layer2.2"]),
        ("train:\n  batch_size: 10\n  accumulate: 3\n", ["r.yaml:3", "train.accumulate", "does not divide"]),
        ("train:\n  loss: lspe\n", ["r.yaml:2", "train.loss.name", "'lspe'"]),
        ("train:\n  loss: {name: lsep, label_smoothing: 0.1}\n", ["r.yaml:2", "lsep does not have this option"]),
        ("train:\n  loss: lsep\nmodel:\n  multi_label: false\n", ["r.yaml:4", "lsep is for several labels per clip"]),
        ("model:\n  multi_label: true\n", ["r.yaml:2", "cross_entropy is for a single label per clip"]),
        ("model: [1, 2]\n", ["r.yaml:1", "model"]),
        ("- a\n", ["r.yaml", "mapping"]),
        ("model: {a: [}\n", ["r.yaml:1", "not valid YAML"]),
    ],
)
def test_errors_name_location_and_remedy(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = write(tmp_path, "r.yaml", text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in expected), message


def test_error_in_base_names_the_base(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "train:\n  momentun: 0.9\n")
    with pytest.raises(RecipeError, match=r"base\.yaml:2: unknown key 'train.momentun'; did you mean 'momentum'\?"):
        load_recipe(write(tmp_path, "child.yaml", "base: base.yaml\n"))


@pytest.mark.parametrize("override", ["train.lr", "=3", "train.momentun=0.9", "train.lr=high"])
def test_invalid_overrides_are_named(tmp_path: Path, override: str) -> None:
    with pytest.raises(RecipeError, match="override"):
        load_recipe(write(tmp_path, "base.yaml", BASE), [override])


def test_rejects_missing_and_circular_files(tmp_path: Path) -> None:
    circular = write(tmp_path, "circle.yaml", "base: circle.yaml\n")
    with pytest.raises(RecipeError, match="inherits from itself"):
        load_recipe(circular)
    with pytest.raises(RecipeError, match=r"no such recipe file; did you mean .*circle\.yaml"):
        load_recipe(tmp_path / "circel.yaml")


@pytest.mark.parametrize("key", ["base", "_base_"])
def test_base_can_be_written_like_mmengines(key: str, tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    write(tmp_path, "other.yaml", "train: {epochs: 3}\n")
    one = load_recipe(write(tmp_path, "one.yaml", f"{key}: base.yaml\n"))
    two = load_recipe(write(tmp_path, "two.yaml", f"{key}: [base.yaml, other.yaml]\n"))
    assert one == load_recipe(tmp_path / "base.yaml")
    assert (two.name, two.train.epochs) == ("base", 3)
    with pytest.raises(RecipeError, match=r"r\.yaml:1: base and _base_ mean the same; keep one"):
        load_recipe(write(tmp_path, "r.yaml", "base: base.yaml\n_base_: other.yaml\n"))


def test_pretrained_means_initial_weights(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    base = write(tmp_path, "base.yaml", BASE + "  pretrained: a.pth\n")
    assert load_recipe(base).train.initial_weights == "a.pth"
    assert load_recipe(base, ["train.pretrained=b.pth"]).train.initial_weights == "b.pth"
    assert load_recipe(base, ["train.initial_weights=c.pth"]).train.initial_weights == "c.pth"
    assert not caplog.records
    with pytest.raises(RecipeError, match=r"train\.pretrained is another name of initial_weights; remove one of them"):
        load_recipe(write(tmp_path, "both.yaml", "train: {pretrained: a.pth, initial_weights: b.pth}\n"))


def test_numbers_have_one_type_however_a_recipe_is_made(tmp_path: Path) -> None:
    pixels = InputSpec(scale=1, mean=(0, 0, 0), std=(1, 1, 1))
    loss, model = LossSpec("bce", class_weights=(1, 2)), ModelSpec(multi_label=True)
    made = Recipe(model=model, input=pixels, train=TrainSpec(lr=1, clip_norm=20, milestones=(20, 22.5), loss=loss))
    read = recipe_from_dict(json.loads(json.dumps(recipe_to_dict(made))))
    again = replace(made, train=replace(made.train, gamma=1, lr=2))
    assert repr(made) == repr(read)
    assert (repr(again.train.lr), repr(again.train.gamma), repr(made.train.epochs)) == ("2.0", "1.0", "50")
    assert repr(made.train.milestones) == "(20, 22.5)"
    assert repr(made.input.mean) == "(0.0, 0.0, 0.0)" and repr(made.train.loss.class_weights) == "(1.0, 2.0)"


def test_size_is_one_number_or_height_and_width(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", BASE + "input: {resize: 64, crop: [32, 48]}\n")
    recipe = load_recipe(base)
    assert (recipe.input.resize, recipe.input.crop) == (64, (32, 48))
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe
    assert load_recipe(base, ["input.size=[40, 64]"]).input.crop == (40, 64)
    assert recipe_to_dict(load_recipe(base, ["input.crop=[32,32]"]))["input"]["crop"] == 32
    for value in ("64x48", "[1, 2, 3]", "[32.5, 8]", "{height: 3}"):
        with pytest.raises(RecipeError, match=r"input\.crop: write a number of pixels, or \[height, width\], not"):
            load_recipe(base, [f"input.crop={value}"])
    flat = ["model.backbone=bn_inception", "input.crop=[32, 48]", "model.shift=none", "model.width=64"]
    with pytest.raises(RecipeError, match=r"input\.crop: 32 x 48 pixels do not suit bn_inception.* multiples of 32"):
        load_recipe(base, flat)
