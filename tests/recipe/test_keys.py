"""Keys of recipes: every one documented, with its default, on a page that the code writes."""

from __future__ import annotations

import yaml
from tests.support.paths import ROOT

from trishift.recipe import Recipe, load_recipe, recipe_to_dict
from trishift.recipe.keys import differences, keys_page, recipe_sections

KEYS = {key.name: key for section in recipe_sections() for key in section.keys}


def flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def test_every_key_has_its_default_and_a_meaning() -> None:
    for name, default in flat(recipe_to_dict(Recipe())).items():
        loaded = yaml.safe_load(KEYS[name].default)
        assert (float(loaded) if isinstance(default, float) else loaded) == default, name
    assert all(len(key.meaning) > 8 and key.values for key in KEYS.values())
    assert "model.shift.direction" in KEYS and "data.augmentation.resized_crop.area" in KEYS  # off by default


def test_values_are_spelled_as_in_yaml() -> None:
    spelled = {name: KEYS[name].values for name in ("train.schedule", "train.clip_norm", "data.augmentation.speed")}
    assert spelled == {
        "train.schedule": "`step`, `cosine`",
        "train.clip_norm": "number, `null`",
        "data.augmentation.speed": "[number, number]",
    }
    assert "one number for all or one per entry" in KEYS["train.freeze.until"].meaning


def test_page_is_current() -> None:
    assert (ROOT / "docs" / "keys.md").read_text(encoding="utf-8") == keys_page(), "trishift.recipe.keys.keys_page"


def test_differences_name_both_values() -> None:
    base = load_recipe("gestures/tsm")
    recipe = load_recipe("gestures/tsm", ["train.lr=0.5", "model.shift=null", "train.freeze=[stem]"])
    found = {name: (before, after) for name, before, after in differences(recipe, base)}
    assert found["train.lr"] == ("0.05", "0.5") and found["train.freeze.stages"] == ("[]", "[stem]")
    assert found["model.shift.div"] == ("8", "null") and not differences(base, base)
    assert set(found) == {
        "train.lr",
        "train.freeze.stages",
        *(name for name in found if name.startswith("model.shift")),
    }
