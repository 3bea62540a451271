"""Recipes: inheritance, overrides, and one-line errors with file, line and nearest key."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from trishift.backends.contract import OptimizerSpec
from trishift.errors import RecipeError
from trishift.model.losses import LossSpec
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec
from trishift.recipe import Recipe, TrainSpec, load_recipe, recipe_from_dict, recipe_to_dict, save_recipe
from trishift.recipe.renames import RENAMED

BASE = """\
name: base
model:
  backbone: resnet18
  shift: {div: 8}
train:
  lr: 1e-2
  milestones: [2, 4]
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


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


def test_saved_recipe_reads_back_equal(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "base.yaml", BASE), ["model.shift.placement=[layer1.0, layer2.1]"])
    save_recipe(recipe, tmp_path / "saved.yaml")
    assert load_recipe(tmp_path / "saved.yaml") == recipe


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


@pytest.mark.parametrize("word", ["none", "None", "null", "~"])
@pytest.mark.parametrize("key", ["model.shift", "train.clip_norm", "train.initial_weights", "data.template"])
def test_none_means_null(key: str, word: str, tmp_path: Path) -> None:
    text = BASE + "  clip_norm: 3\n  initial_weights: a.pth\ndata: {template: 'img_{:05d}.jpg'}\n"
    recipe = load_recipe(write(tmp_path, "base.yaml", text), [f"{key}={word}"])
    section, name = key.split(".")
    assert getattr(getattr(recipe, section), name) is None
    flip = load_recipe(tmp_path / "base.yaml", ["data.augmentation.flip=none"]).data.augmentation.flip
    assert flip == "none"


@pytest.mark.parametrize(
    "template", ["{:06d}.jpg", "{:d}.png", "{:06d}", "img_{:05d}.jpg", "{:03d}/x.jpg", '"{:06d}.jpg"']
)
def test_templates_need_no_quotes(template: str, tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, "base.yaml", BASE), [f"data.template={template}"])
    assert recipe.data.template == template.strip('"')


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("lr=0.1", "did you mean 'train.lr'?"),
        ("epochs=3", "did you mean 'train.epochs'?"),
        ("batch_size=8", "did you mean 'train.batch_size'?"),
        ("batch-size=8", "did you mean 'train.batch_size'?"),
        ("learning_rate=1", "known: name, model"),
        ("epoch=3", "did you mean 'train.epochs'?"),
        ("num_segments=4", "did you mean 'model.num_segments'?"),
        ("pretrained=a.pth", "did you mean 'train.pretrained'?"),
        ("model.lr=0.1", "did you mean 'train.lr'?"),
        ("shift.dvi=4", "did you mean 'model.shift'?"),
        ("train.workers=4", "did you mean 'data.workers'?"),
        ("sampling={mode: dense}", "did you mean 'data.sampling' or 'evaluation.sampling'?"),
        ("train.epohcs=4", "did you mean 'epochs'?"),
    ],
)
def test_unknown_keys_hint_at_other_sections(override: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(write(tmp_path, "base.yaml", BASE), [override])
    assert str(error.value).startswith(f"override {override!r}: unknown key ")
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        *((f"train.{name}", 0, "must be 1 or more") for name in ("epochs", "batch_size", "accumulate")),
        *((f"train.{name}", -1, "must be 0 or more") for name in ("evaluate_every", "save_every", "seed", "momentum")),
        *((f"train.{name}", -0.5, "must be 0 or more") for name in ("warmup_epochs", "head_lr_mult")),
        *((f"train.{name}", 0, "must be positive") for name in ("lr", "gamma", "clip_norm")),
        *((f"train.{name}", ".nan", "not a finite number") for name in ("lr", "gamma", "momentum", "weight_decay")),
        *((f"train.{name}", ".inf", "not a finite number") for name in ("lr", "clip_norm", "warmup_epochs")),
        ("train.lr_batch_size", 0, "must be 1 or more"),
        ("train.momentum", 1, "must be below 1"),
        ("train.optimizer.betas", "[0.9, 1]", "must lie between 0 and 1"),
        ("train.optimizer.epsilon", 0, "must be positive"),
        *((f"train.{name}", -1, "must be 0 or more") for name in ("warmup_steps", "lr_floor", "stochastic_depth")),
        *((f"train.{name}", 1, "must be below 1") for name in ("lr_floor", "stochastic_depth")),
        ("train.ema", 1, "must be below 1"),
        ("train.ema", 0, "must be positive"),
        ("train.precise_bn", -1, "must be 0 or more"),
        ("train.best.keep", 0, "must be 1 or more"),
        ("train.best.patience", 0, "must be 1 or more"),
        ("train.layer_decay", 0, "must be positive"),
        ("train.layer_decay", 1.5, "must be 1 or less"),
        ("train.freeze.until", -1, "must be 0 or more"),
        ("train.milestones", "[.nan]", "not a finite number"),
        ("train.milestones", "[20, -3]", "must be 0 or more"),
        ("train.epochs", -3, "must be 1 or more"),
        ("train.loss.label_smoothing", ".nan", "not in [0, 1)"),
        ("data.workers", -5, "must be 0 or more"),
        ("data.augmentation.max_distort", -1, "max_distort"),
        ("data.augmentation.scales", "[0]", "(0, 1]"),
        ("data.sampling.window", 0, "window must be positive"),
        ("evaluation.sampling.clips", -1, "clips not negative"),
        ("input.scale", 0, "must be positive"),
        ("input.mean", "[.nan, 0, 0]", "not a finite number"),
        ("input.std", "[1, 1, .inf]", "not a finite number"),
        ("input.crop", 0, "resize"),
        ("model.num_segments", 0, "must be 1 or more"),
        ("model.num_classes", -1, "must be 0 or more"),
        ("model.in_channels", 0, "must be 1 or more"),
        ("model.width", -64, "must be 1 or more"),
        ("model.dropout", ".nan", "is not in [0, 1)"),
        ("model.dropout", 1, "is not in [0, 1)"),
        ("model.shift.div", 1, "more channels than there are"),
        ("model.head.relation_width", 0, "must be 1 or more"),
        ("model.head.hidden_width", -1, "must be 1 or more"),
        ("model.head.relations_per_scale", 0, "must be 1 or more"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(key: str, value: object, problem: str, tmp_path: Path) -> None:
    override = f"{key}={value}"
    with pytest.raises(RecipeError) as error:
        load_recipe(write(tmp_path, "base.yaml", BASE), [override])
    message = str(error.value)
    assert message.startswith(f"override {override!r}: ") and problem in message, message
    assert key.rpartition(".")[2] in message


def test_booleans_are_no_numbers() -> None:
    """YAML's `true` and `yes` would be read as 1 wherever a number is meant."""
    numbers = [key for key, types in entries(Recipe) if types & {int, float} and bool not in types]
    assert len(numbers) > 50
    for key in numbers:
        for value in ("true", "[no, 1]"):
            with pytest.raises(RecipeError, match=f"^override '{key}=.*: {key}: .*(True|False)"):
                recipe_from_dict({}, overrides=[f"{key}={value}"])


def entries(section: Any, prefix: str = "") -> Iterator[tuple[str, set[Any]]]:
    for name, hint in typing.get_type_hints(section).items():
        inner = [each for each in flat(hint) if dataclasses.is_dataclass(each)]
        yield from entries(inner[0], f"{prefix}{name}.") if inner else [(f"{prefix}{name}", flat(hint))]


def test_keys_appear_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"twice\.yaml:3: key 'train' appears twice"):
        load_recipe(write(tmp_path, "twice.yaml", "train: {epochs: 3}\ndata: {}\ntrain: {lr: 0.5}\n"))


def test_every_number_of_a_recipe_has_a_least_value() -> None:
    """A new number in a section of training must be given a bound."""
    from trishift.recipe.sections import _LEAST, _POSITIVE

    numbers = {name for name, hint in typing.get_type_hints(TrainSpec).items() if {int, float} & flat(hint)}
    assert {f"train.{name}" for name in numbers} <= {*_LEAST, *_POSITIVE}


def flat(hint: Any) -> set[Any]:
    return {hint}.union(*map(flat, typing.get_args(hint)))


def test_numbers_keep_their_types_through_a_checkpoint(tmp_path: Path) -> None:
    for text in ("", "train: {milestones: [20, 40]}", "train: {milestones: [20.5, 40], gamma: 1}"):
        recipe = load_recipe(write(tmp_path, "r.yaml", text))
        stored = json.dumps(recipe_to_dict(recipe))
        resumed = recipe_from_dict(json.loads(stored))
        assert json.dumps(recipe_to_dict(resumed)) == stored
    assert recipe_to_dict(load_recipe(tmp_path / "r.yaml", ["train.milestones=[20]"]))["train"]["milestones"] == [20]
    assert '"milestones": [20, 40]' in json.dumps(recipe_to_dict(recipe_from_dict({})))


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 10,000 values"),
        ("a: &a [*a]\n", "more than 10,000 values"),
        ("name: 2001-99-99\n", "not a usable value: month must be in 1..12"),
        ("train: {epochs: " + "9" * 5000 + "}\n", "not a usable value"),
        ("name: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("name: a\x00b\n", "special characters are not allowed"),
        ("name: x\nbase: 5\n", r"r\.yaml:2: base: must be the path or name of a recipe, or a list of them"),
        ("base: [1]\n", r"r\.yaml:1: base: must be the path or name of a recipe, or a list of them"),
        ('base: "a\\0b"\n', "no such recipe file"),
        ("base: /dev/zero\n", r"/dev/zero: cannot be read \(a pipe or device, not a file\)"),
        ("name: 0x" + "f" * 9000, "not a usable value: an integer of too many digits"),
        ("name: [" + "x, " * 100_000 + "x]", r"r\.yaml: more than 10,000 values"),  # before all of them are parsed
        ("name: [" + "x, " * 2000 + "x]", r"name: input should be a valid string, not .{200}\.\.\.$"),
        ("name: " + "x" * 2**20, r"1\.0 MB is too large for a recipe"),
    ],
    ids=[
        "aliases",
        "circle",
        "date",
        "digits",
        "nesting",
        "NUL",
        "base",
        "bases",
        "NUL in base",
        "device",
        "hex",
        "values",
        "long",
        "size",
    ],
)
def test_hostile_yaml_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        load_recipe(write(tmp_path, "r.yaml", text))
    assert "\n" not in str(error.value)


def test_rejects_bases_that_multiply(tmp_path: Path) -> None:
    for number in range(30):
        write(tmp_path, f"r{number}.yaml", f"base: [r{number + 1}.yaml, r{number + 1}.yaml]\n")
    write(tmp_path, "r30.yaml", "name: x\n")
    with pytest.raises(RecipeError, match="consists of more than 100 files"):
        load_recipe(tmp_path / "r0.yaml")


@pytest.mark.parametrize("key", ["\udcff", "a" * 70_000, "train." + "[" * 3000])
def test_hostile_keys_are_refused_in_one_short_line(key: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(write(tmp_path, "r.yaml", "name: x"), [f"{key}=1"])
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000


@pytest.mark.parametrize("value", ["2001-99-99", "9" * 5000, "[" * 3000 + "]" * 3000, "a\x00b"])
def test_hostile_overrides_are_refused_in_one_line(value: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="override") as error:
        load_recipe(write(tmp_path, "base.yaml", BASE), [f"name={value}"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "data:\n  template: {:05d}.jpg  # as unpacked\n  root: 'a {:05d}'\n",
        "data:\n  template: {:05d}.jpg\n",
        "data: {template: {:05d}.jpg, root: x}\n",
        "data:\n  template: '{:05d}.jpg'\n  root: a {:05d} b\n",
        'data: {root: "it\'s", template: {:05d}.jpg}\n',
    ],
)
def test_templates_in_files_need_no_quotes(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert load_recipe(tmp_path / "a.yaml").data.template == "{:05d}.jpg"
    assert load_recipe(tmp_path / "a.yaml", ["data.template={}_{:06d}.png"]).data.template == "{}_{:06d}.png"


def test_broken_yaml_beside_a_template_keeps_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data:\n  template: {:05d}.jpg\n  root: [a\n")
    with pytest.raises(RecipeError, match=r"a\.yaml:4: not valid YAML"):
        load_recipe(tmp_path / "a.yaml")


def test_recipe_of_a_run_is_read_without_advice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "recipe.yaml").write_text("data: {sampling: {legacy_random_test: true}}")
    load_recipe(tmp_path / "recipe.yaml", recorded=True)
    assert not caplog.messages
    load_recipe(tmp_path / "recipe.yaml")
    assert len(caplog.messages) == 1
