"""Every key of a recipe with its type, default and meaning, read from the sections' classes and their docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trishift.recipe.reading import plain_values, recipe_to_dict, section_types
from trishift.recipe.sections import Recipe

_ENTRY = re.compile(r"(\w+(?:, \w+)*): (.*)")
_WORDS = {int: "integer", float: "number", str: "text", bool: "`true`, `false`", type(None): "`null`"}
_CONSTANTS = {None: "null", True: "true", False: "false"}
_PAGE = """\
# Recipe keys

Set a key in a YAML file, or append `key=value` to a command. `trishift config RECIPE` prints the values of a recipe,
`--diff` only those that it changes, and `--keys WORD` the entries below that contain a word. `null` means unset. The
keys of a section whose own default is `null` apply once one of them is set.
"""


@dataclass(frozen=True)
class Key:
    """An entry of a recipe.

    Attributes:
        name: dotted name, as in an override.
        values: the values it takes, in words and YAML.
        default: the default in YAML.
        meaning: one or more sentences.
    """

    name: str
    values: str
    default: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.name}={self.default}  ({self.values.replace('`', '')})\n    {self.meaning.replace('`', '')}"


@dataclass(frozen=True)
class Section:
    """A section of a recipe: its dotted name, its purpose, and its keys without those of the sections inside it."""

    name: str
    purpose: str
    keys: tuple[Key, ...]


def recipe_sections() -> list[Section]:
    """All sections in the order of a recipe file, the outer ones first.

    Example:
        >>> from trishift.recipe.keys import recipe_sections
        >>> train = next(section for section in recipe_sections() if section.name == "train")
        >>> key = next(key for key in train.keys if key.name == "train.momentum")
        >>> key.values, key.default
        ('number', '0.9')
    """
    return list(_sections(Recipe(), ""))


def keys_page() -> str:
    """The Markdown page of all keys, with a table per section."""
    lines = [_PAGE]
    for section in recipe_sections():
        lines += [f"## `{section.name}`\n\n{section.purpose}\n"] if section.name else []
        lines += ["| key | values | default | meaning |", "|---|---|---|---|"]
        for key in section.keys:
            cells = (f"`{key.name}`", key.values, f"`{key.default}`", key.meaning)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)


def differences(recipe: Recipe, base: Recipe) -> list[tuple[str, str, str]]:
    """The keys in which a recipe differs from another: (dotted name, the base's value, the recipe's value) in YAML."""
    ours, theirs = _flat(recipe_to_dict(recipe)), _flat(recipe_to_dict(base))
    names = [*ours, *(name for name in theirs if name not in ours)]
    pairs = ((name, _yaml(theirs.get(name)), _yaml(ours.get(name))) for name in names)
    return [(name, before, after) for name, before, after in pairs if before != after]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def _sections(values: Any, prefix: str) -> Iterator[Section]:
    cls = type(values)
    hints, inner, meanings = typing.get_type_hints(cls), section_types(cls), _meanings(cls)
    keys = [
        Key(f"{prefix}{field.name}", _spell(hints[field.name]), _yaml(default), meanings[field.name])
        for field in dataclasses.fields(cls)
        if (default := plain_values(getattr(values, field.name))) is None or field.name not in inner
    ]
    yield Section(prefix.removesuffix("."), _purpose(cls), tuple(keys))
    for name, section in inner.items():
        yield from _sections(getattr(values, name) or section(), f"{prefix}{name}.")


def _purpose(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _meanings(cls: type) -> dict[str, str]:
    """Attribute to its description in the docstring of a class."""
    text = (inspect.getdoc(cls) or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        if line and not line.startswith(" "):  # the next part of the docstring
            break
        entry = _ENTRY.fullmatch(line.removeprefix("    "))
        if entry and not line.startswith("     "):
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return {name: re.sub(r"\bNone\b", "`null`", meaning) for name, meaning in found.items()}


def _spell(hint: Any) -> str:
    """The values of a type in words; literals and constants as they are written in YAML."""
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        inner = [_spell(argument) for argument in arguments if argument is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in arguments else f"[{', '.join(inner)}]"
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{_yaml(argument)}`" for argument in arguments)
    if arguments:
        words = dict.fromkeys(_spell(argument) for argument in arguments)
        return ", ".join(word for word in words if word != "integer" or "number" not in words)
    return "section" if dataclasses.is_dataclass(hint) else _WORDS[hint]


def _yaml(value: Any) -> str:
    """A plain value as it is written in an override."""
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return _CONSTANTS[value] if value is None or isinstance(value, bool) else str(value)
