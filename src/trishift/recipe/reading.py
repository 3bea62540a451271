"""Reading recipes: everything a run needs, inherited, overridden, validated and frozen.

    recipe = load_recipe("configs/gestures/tsm.yaml", ["train.epochs=2"])

A file may inherit from another through `base:`. Mappings are merged key by key, and the child wins. Overrides are
`section.key=value` with YAML values. Every error is one line that names the file, the line and the nearest valid key.
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import yaml

from trishift.errors import EntryError, RecipeError, named, shortened
from trishift.io.atomic import write_text
from trishift.io.typed import NO_NUMBER, misplaced_boolean
from trishift.io.wording import nearest
from trishift.io.yaml_text import YamlError, parse_yaml
from trishift.model.backbones import BACKBONES
from trishift.model.losses import MULTI_LABEL_LOSSES
from trishift.model.spec import FRAME_CHANNELS, ModelSpec, default_input
from trishift.recipe.finding import find_recipe
from trishift.recipe.layers import Layer, read_layers, spell_out
from trishift.recipe.renames import ALIASES, present_key, with_present_names
from trishift.recipe.sections import Recipe


def load_recipe(path: str | Path, overrides: Sequence[str] = (), *, recorded: bool = False) -> Recipe:
    """Read, inherit, override and validate a recipe file.

    Args:
        path: a YAML file, or the name of a shipped recipe such as `gestures/tsm`.
        overrides: `section.key=value` texts, applied in order.
        recorded: the file was written by a run, so old names of its keys are no reason for a warning.

    Raises:
        RecipeError: any mistake, as one line with file, line and nearest valid key.

    Example:
        >>> from trishift.recipe import load_recipe
        >>> recipe = load_recipe("recipe.yaml", ["train.lr=0.02"])
        >>> recipe.model.backbone, recipe.train.lr
        ('resnet10', 0.02)
    """
    return RecipeFile(path, recorded=recorded).resolve(overrides)


class RecipeFile:
    """A recipe file and its bases, read once.

    Args:
        path: as in `load_recipe`.
        recorded: as in `load_recipe`.

    Raises:
        RecipeError: a file cannot be read.

    Example:
        >>> from trishift.recipe import RecipeFile
        >>> file = RecipeFile("gestures/tsm")
        >>> file.resolve(["train.lr=0.02"]).train.lr, file.sets([], "execution.device")
        (0.02, False)
        >>> name, base = file.base()
        >>> name, base.name
        ('base.yaml', 'gestures')
    """

    def __init__(self, path: str | Path, *, recorded: bool = False) -> None:
        self._layers = read_layers(find_recipe(path), recorded=recorded)

    def resolve(self, overrides: Sequence[str] = ()) -> Recipe:
        """The validated recipe with overrides, applied in order.

        Raises:
            RecipeError: any mistake, as one line with file, line and nearest valid key.
        """
        return _resolve(self._layers, list(overrides))

    def sets(self, overrides: Sequence[str], key: str) -> bool:
        """Whether the file, one of its bases or an override sets a dotted key."""
        return _Blame(self._layers, list(overrides)).find(key.split(".")) is not None

    def base(self) -> tuple[str, Recipe] | None:
        """Its bases as the file names them, and the recipe they make; None without bases, or if they are incomplete."""
        *inherited, own = self._layers
        if not own.bases:
            return None
        try:
            return ", ".join(own.bases), _resolve(inherited, [])
        except RecipeError:  # parts of a recipe, which only the file makes whole
            return None


def _resolve(layers: Sequence[Layer], overrides: list[str]) -> Recipe:
    data: dict[str, Any] = {}
    for layer in layers:
        data = _merge(data, layer.data)
    for text in overrides:
        data = _merge(data, _parse_override(text))
    return _validate(data, _Blame(list(layers), overrides))


def recipe_from_dict(data: Mapping[str, Any], origin: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Validate a mapping, such as the recipe stored in a checkpoint; `origin` names it in errors."""
    known = with_present_names(data)
    merged = dict(known)
    for text in overrides:
        merged = _merge(merged, _parse_override(text))
    return _validate(merged, _Blame([Layer(Path(origin), known, None)], list(overrides)))


def check_entries(overrides: Sequence[str]) -> None:
    """Refuse overrides that are wrong in any recipe, before there is one.

    Raises:
        EntryError: a key is unknown, or a value has another type.
    """
    try:
        recipe_from_dict({}, overrides=overrides)
    except EntryError:
        raise
    except RecipeError:
        pass  # it may fit another recipe


def recipe_to_dict(recipe: Recipe, *, secrets: bool = False) -> dict[str, Any]:
    """Convert a recipe to plain YAML and JSON types.

    Args:
        recipe: the recipe.
        secrets: keep passwords in the addresses of weights, for use within this process; files never get them.
    """
    plain: dict[str, Any] = plain_values(dataclasses.asdict(recipe), str if secrets else named)
    return plain


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write the resolved recipe; `load_recipe` reads back an equal one."""
    write_text(path, recipe_text(recipe))


def recipe_text(recipe: Recipe) -> str:
    """The YAML of a resolved recipe."""
    text: str = yaml.safe_dump(recipe_to_dict(recipe), sort_keys=False, allow_unicode=True)
    return text


def plain_values(value: Any, spell: Callable[[str], str] = str) -> Any:
    """Lists instead of tuples; `spell` is applied to every text."""
    if isinstance(value, dict):
        return {key: plain_values(v, spell) for key, v in value.items()}
    if isinstance(value, str):
        return spell(value)
    return [plain_values(v, spell) for v in value] if isinstance(value, (list, tuple)) else value


def _merge(base: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in child.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise EntryError(
            f"override {shortened(repr(text))}: write it as section.key=value, for example train.epochs=10"
        )
    try:
        result: Any = parse_yaml(value)[0]
    except YamlError as error:
        raise EntryError(
            f"override {shortened(repr(text))}: the value is {shortened(error.reason)}; quote it"
        ) from None
    parts = key.strip().split(".")
    if len(parts) > _DEEPEST:
        raise EntryError(f"override {shortened(repr(text))}: no key is nested that deeply")
    for part in reversed(parts):
        result = {part: result}
    return spell_out(with_present_names(result, f"override {shortened(repr(text))}"))


_DEEPEST = 10  # parts of a key
_NAME = re.compile(r"[^\w.]")  # ends the key at the start of a section's error


@dataclass(frozen=True)
class _Blame:
    """Locates the file and line, or the override, that set a key."""

    layers: list[Layer]
    overrides: list[str]

    def place(self, keys: Sequence[str]) -> str:
        """The place that set a key, else the file of the recipe."""
        return self.find(keys) or str(self.layers[-1].path)

    def find(self, keys: Sequence[str]) -> str | None:
        """The place that set a key, or None."""
        dotted = ".".join(keys)
        for text in reversed(self.overrides):
            written = present_key(text.partition("=")[0].strip())
            if dotted == written or dotted.startswith(written + ".") or written.startswith(dotted + "."):
                return f"override {shortened(repr(text))}"
        for layer in reversed(self.layers):
            line = layer.line_of(keys)
            if line is not None:
                return f"{layer.path}:{line}"
        return None

    def complete(self, key: str) -> str:
        """The dotted key of an entry that an error names by its end: `model.num_segments` for `num_segments`."""
        matches = [dotted for dotted in _dotted_keys(Recipe) if f".{dotted}".endswith(f".{key}")]
        return next((dotted for dotted in matches if self.find(dotted.split("."))), (*matches, key)[0])


@lru_cache(maxsize=1)
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Recipe)


def _validate(data: dict[str, Any], blame: _Blame) -> Recipe:
    from pydantic import ValidationError

    keys = misplaced_boolean(Recipe, data)
    if keys is not None:
        found = reduce(getitem, keys, data)
        raise EntryError(_explain({"type": "number_type", "loc": keys, "msg": NO_NUMBER, "input": found}, blame))
    try:
        recipe: Recipe = _adapter().validate_python(_filled_in(_with_nulls(data, Recipe)))
    except ValidationError as error:
        raise EntryError(_explain(error.errors()[0], blame)) from None
    except RecipeError as error:
        name = _NAME.split(str(error), maxsplit=1)[0]
        key = blame.complete(name)
        raise RecipeError(f"{blame.place(key.split('.'))}: {key}{str(error)[len(name) :]}") from None
    return recipe


def _with_nulls(data: Mapping[str, Any], cls: Any) -> dict[str, Any]:
    """Read the word `none` as null in entries that may be null: `model.shift=none` makes a TSN."""
    hints, sections = typing.get_type_hints(cls), section_types(cls)
    result = dict(data)
    for key, value in data.items():
        optional = type(None) in typing.get_args(hints.get(key))
        if optional and isinstance(value, str) and value.lower() == "none":
            result[key] = None
        elif key in sections and isinstance(value, dict):
            result[key] = _with_nulls(value, sections[key])
    return result


def _filled_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in defaults implied by other entries: pixels by backbone and modality, `multi_label` by the loss."""
    sections = [data.get(name) or {} for name in ("model", "input", "train")]
    if not all(isinstance(section, dict) for section in sections):
        return dict(data)  # rejected by validation
    model, pixels, train = sections
    backbone, modality = str(model.get("backbone")), str(pixels.get("modality", "rgb"))
    default = default_input(
        backbone if backbone in BACKBONES else ModelSpec.backbone, modality if modality in FRAME_CHANNELS else "rgb"
    )
    loss = train.get("loss")
    multi_label = isinstance(loss, dict) and loss.get("name") in MULTI_LABEL_LOSSES
    return {
        **data,
        "model": {"multi_label": multi_label, **model},
        "input": {**plain_values(dataclasses.asdict(default)), **pixels},
    }


def _explain(error: Mapping[str, Any], blame: _Blame) -> str:
    known = _known_keys(error["loc"])
    keys = [str(part) for part in error["loc"] if isinstance(part, str)][: known.depth + 1]
    dotted = ".".join(keys)
    if not keys:  # a key of bytes that are not UTF-8
        return f"{blame.place([])}: {error['msg'].lower()}; check the names of the entries"
    if error["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        close = close_keys(keys[-1], known.names)
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"known: {', '.join(known.names)}"
        return f"{blame.place(keys)}: unknown key {shortened(repr(dotted))}; {hint}"
    form = known.forms.get(keys[-1])
    expected = f"write {form}" if form else _reason(error, known)
    return f"{blame.place(keys)}: {dotted}: {expected}, not {shortened(repr(error['input']))}"


def _reason(error: Mapping[str, Any], known: _KnownKeys) -> str:
    """Pydantic's reason, without its words for Python's types."""
    reasons = {
        "dataclass_type": f"must be a section with entries such as {known.names[0]}",
        "tuple_type": "must be a list",
        "missing": "must be a longer list",  # only fixed-size lists require entries
        "too_long": f"must be a list of {error.get('ctx', {}).get('max_length')} entries",
    }
    return reasons.get(error["type"], error["msg"].lower())


def close_keys(key: str, section: Sequence[str] = ()) -> list[str]:
    """The entries that an unknown key may mean: a key of the same section, or dotted keys of other sections."""
    key = key.replace("-", "_").lower()
    elsewhere: dict[str, list[str]] = {}
    for dotted in (*_dotted_keys(Recipe), *ALIASES):
        elsewhere.setdefault(dotted.rpartition(".")[2], []).append(dotted)
    if key in elsewhere and key not in section:
        return elsewhere[key]
    if close := nearest(key, section, cutoff=0.5):
        return [close]
    return elsewhere.get(nearest(key, elsewhere, cutoff=0.7) or "", [])


def _dotted_keys(cls: Any, prefix: str = "") -> Iterator[str]:
    """Every key of a section and of the sections inside it, the outer ones first."""
    names = [f"{prefix}{f.name}" for f in dataclasses.fields(cls)]
    yield from names
    for name, section in section_types(cls).items():
        yield from _dotted_keys(section, f"{prefix}{name}.")


@dataclass(frozen=True)
class _KnownKeys:
    names: list[str]
    depth: int
    forms: dict[str, str]  # key to how its value is written, where types alone do not say it


def _known_keys(location: Sequence[Any]) -> _KnownKeys:
    """Return the valid keys of the section an error points into, and the depth of that section."""
    cls: Any = Recipe
    depth = 0
    for part in location:
        types = section_types(cls)
        if part not in types:
            break
        cls, depth = types[part], depth + 1
    entries = dataclasses.fields(cls)
    forms = {f.name: f.metadata["form"] for f in entries if "form" in f.metadata}
    return _KnownKeys([f.name for f in entries], depth, forms)


def section_types(cls: Any) -> dict[str, Any]:
    """Return the keys of a section that are sections themselves."""
    hints = typing.get_type_hints(cls)
    sections = {}
    for name, hint in hints.items():
        for candidate in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(candidate):
                sections[name] = candidate
    return sections
