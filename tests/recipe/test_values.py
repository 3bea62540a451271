"""Values in recipes: words for null, templates, numbers and hostile text."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.support.recipes import BASE, write

from trishift.errors import RecipeError
from trishift.io.yaml_text import YamlError, parse_yaml
from trishift.recipe import Recipe, TrainSpec, load_recipe, recipe_from_dict, recipe_to_dict


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


@pytest.mark.parametrize("part", ["t=nu\0", "2chs=", "={:05d}", "{}", "='"])
def test_long_values_are_read_in_linear_time(part: str) -> None:
    """A search for templates that tries every start would take many minutes."""
    with suppress(YamlError):
        assert len(str(parse_yaml(part * 40_000)[0])) > 40_000


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
