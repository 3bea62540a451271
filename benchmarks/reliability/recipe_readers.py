"""Readers of recipes and thresholds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.reliability.readers import Reader
from benchmarks.reliability.texts import ALIAS_BOMB, CONFIGS, TEXTS, with_devices, write_texts


def _recipe_seeds(folder: Path) -> None:
    for name in ("base", "tsm"):
        (folder / name).mkdir()
        for source in (CONFIGS / "gestures").glob("*.yaml"):
            shutil.copy(source, folder / name)
        if name == "base":
            (folder / name / "tsm.yaml").write_text("base: [base.yaml, ms.yaml]\nname: x\nmodel: {shift: {div: 8}}\n")
            (folder / name / "ms.yaml").write_text("train:\n  epochs: 3\n  milestones: [1, 2]\n")


def _hostile_recipes(folder: Path) -> None:
    from trishift.recipe import load_recipe, recipe_to_dict

    texts: list[str] = [
        *TEXTS,
        ALIAS_BOMB + "name: *a8\n",
        "a: &a [*a]\n",
        "&a {x: *a}",
        "base: tsm.yaml\n",
        "base: 5\n",
        "base: [5]\n",
    ]
    texts += [
        f"base: {value}\n"
        for value in ("/dev/zero", "../../../../etc/passwd", '"a\\0b"', "x" * 5000, "{}", "[[]]", "~")
    ]
    texts += [
        f"name: {value}\n"
        for value in (
            "2001-99-99",
            "0x" + "f" * 9000,
            "0b" + "1" * 9000,
            "1" * 9000,
            "1:1:1",
            "!!binary x",
            "!!set {a}",
        )
    ]
    texts += [
        "? [a]\n: 1\n",
        "? {a: 1}\n: 1\n",
        "<<: 5\n",
        "<<: [*a]\n",
        "[" + "x," * 400_000 + "x]",
        "{a: 1, a: 2}\n",
        "? 5\n: {}\n",
        "5: 6\n",
    ]
    texts += ["a: " + "[" * n + "]" * n for n in (100, 1000, 100_000)] + [
        "a:\n" + "".join(" " * i + "a:\n" for i in range(900))
    ]
    values = (
        "null",
        "5",
        "-1",
        "1e999",
        ".nan",
        "0x" + "f" * 9000,
        "x",
        "[]",
        "{}",
        "[[]]",
        "true",
        "2001-01-01",
        '"\\e[31m"',
        "[.nan]",
    )
    for section, content in recipe_to_dict(load_recipe(CONFIGS / "gestures" / "tsm.yaml")).items():
        texts += [f"{section}: {value}\n" for value in values]
        for key in content if isinstance(content, dict) else ():
            texts += [f"base: base.yaml\n{section}: {{{key}: {value}}}\n" for value in values]
    for number, text in enumerate(texts):
        case = folder / f"{number:04d}"
        case.mkdir()
        shutil.copy(CONFIGS / "gestures" / "base.yaml", case)
        (case / "tsm.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    doubling, chain = folder / "doubling", folder / "chain"
    for case in (doubling, chain, folder / "device", folder / "twins"):
        case.mkdir()
    for number in range(40):
        name = "tsm" if number == 0 else f"r{number}"
        (doubling / f"{name}.yaml").write_text(
            f"base: [r{number + 1}.yaml, r{number + 1}.yaml]\n" if number < 39 else "name: x\n"
        )
    for number in range(3000):
        name = "tsm" if number == 0 else f"r{number}"
        (chain / f"{name}.yaml").write_text(f"base: r{number + 1}.yaml\n" if number < 2999 else "name: x\n")
    (folder / "device" / "tsm.yaml").symlink_to("/dev/zero")
    (folder / "twins" / "tsm.yaml").write_text("base: [" + "a.yaml, " * 9000 + "a.yaml]\n")
    (folder / "twins" / "a.yaml").write_text("name: x\n")


def read_recipe(path: Path, out: Path) -> None:
    """Read a recipe with its bases, and write it back."""
    from trishift.recipe import load_recipe, save_recipe

    save_recipe(load_recipe(path / "tsm.yaml"), out / "recipe.yaml")


def _override_seeds(folder: Path) -> None:
    texts = (
        "train.epochs=2",
        "model.shift=null",
        "train.milestones=[1, 2]",
        "data.template={:06d}.jpg",
        "train.loss={name: bce}",
    )
    write_texts(folder, ".txt", texts)


def read_override(path: Path, out: Path) -> None:
    """Apply a text of the command line to a recipe."""
    from trishift.recipe import load_recipe

    load_recipe(CONFIGS / "gestures" / "tsm.yaml", [path.read_bytes().decode("utf-8", "surrogateescape")])


def _hostile_overrides(folder: Path) -> None:
    texts: list[str] = [
        *TEXTS,
        "=",
        "=1",
        ".=1",
        "a..b=1",
        "." * 5000 + "=1",
        "a." * 5000 + "b=1",
        "train=5",
        "train.epochs",
        "train.epochs=",
        "data.root=" + "2chs=" * 40_000,
        "data.template=" + "={:05d}" * 40_000,
    ]
    texts += [
        f"train.epochs={value}"
        for value in ("0x" + "f" * 9000, "9" * 9000, "2001-99-99", "[" * 50_000, "*a", "&a [*a]", "\0", "!!set {a}")
    ]
    write_texts(folder, ".txt", tuple(texts))


def _threshold_seeds(folder: Path) -> None:
    for number in range(3):
        result = {"protocol": "center", "top1": 0.5, "thresholds": [0.1, 0.5, 0.25 * number], "misses": []}
        (folder / f"{number}.json").write_text(json.dumps(result, indent=1))


def _hostile_thresholds(folder: Path) -> None:
    values = (
        "null",
        "5",
        "[]",
        "[1, 2, 3]",
        '["0.5", "0.5", "0.5"]',
        "[null, 0, 0]",
        "[[0.5], [0.5], [0.5]]",
        "[[0.5], 0.5, 0.5]",
        "[NaN, 0, 0]",
        "[1e999, 0, 0]",
    )
    more = (
        "[" + "9" * 400 + ", 0, 0]",
        "{}",
        '"x"',
        "[true, false, true]",
        "[{}, {}, {}]",
        "[" * 50 + "0" + "]" * 50,
        "[" * 100_000,
        "[" + "0," * 300_000 + "0]",
        "9" * 5000,
    )
    write_texts(folder, ".json", (*TEXTS, *(f'{{"thresholds": {value}}}' for value in (*values, *more))))


def read_thresholds(path: Path, out: Path) -> None:
    """Read thresholds from a result of `trishift eval`, or from text."""
    from trishift.evaluation.thresholds import read_thresholds

    read_thresholds(str(path), 3)


READERS = {
    "recipe": Reader("recipe (`.yaml`)", _recipe_seeds, _hostile_recipes, read_recipe),
    "override": Reader("recipe override on the command line", _override_seeds, _hostile_overrides, read_override),
    "thresholds": Reader(
        "thresholds (`.json`)", _threshold_seeds, with_devices(_hostile_thresholds, ".json"), read_thresholds
    ),
}
