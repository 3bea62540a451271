"""Recipe files: YAML with line numbers, and the chain of base files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trishift.errors import RecipeError, brief, shortened
from trishift.io.regular import check_regular
from trishift.io.yaml_text import YamlError, parse_yaml
from trishift.recipe.finding import find_recipe
from trishift.recipe.renames import present_key, with_present_names

_BASE_KEYS = ("base", "_base_")  # the second is mmengine's
_SHORTHAND = (  # sections that one word, or one list, can stand for
    ("train", "loss", "name"),
    ("train", "optimizer", "name"),
    ("train", "freeze", "stages"),
    ("data", "balance", "by"),
)
MAX_BYTES = 2**20  # of a recipe file; published recipes have about 1,000
_MAX_FILES = 100  # per recipe, each counted as often as it is inherited


@dataclass(frozen=True)
class Layer:
    """One file of the inheritance chain: its content, its YAML nodes (for line numbers) and its bases as written."""

    path: Path
    data: dict[str, Any]
    node: yaml.Node | None
    bases: tuple[str, ...] = ()

    def line_of(self, keys: Sequence[str]) -> int | None:
        """Return the 1-based line of the deepest of these nested keys in this file, or None if the first is absent."""
        node, line = self.node, None
        for depth in range(len(keys)):
            if not isinstance(node, yaml.MappingNode):
                break
            section, wanted = ".".join([*keys[:depth], ""]), ".".join(keys[: depth + 1])
            found = next(((k, v) for k, v in node.value if present_key(f"{section}{k.value}") == wanted), None)
            if found is None:
                return None
            line, node = found[0].start_mark.line + 1, found[1]
        return line


def read_layers(path: Path, *, recorded: bool = False) -> list[Layer]:
    """Return the file's bases, most basic first, followed by the file itself; `recorded` as in `load_recipe`.

    Raises:
        RecipeError: a file is missing, unreadable, not a mapping, or inherits from itself or from too many files.
    """
    layers: list[Layer] = []
    _read_into(layers, path, (), recorded=recorded)
    return layers


def _read_into(layers: list[Layer], path: Path, seen: tuple[Path, ...], *, recorded: bool = False) -> None:
    """Append a file's bases and the file; `seen` are the files that inherit from it."""
    if len(layers) + len(seen) >= _MAX_FILES:
        raise RecipeError(
            f"{path}: base: the recipe consists of more than {_MAX_FILES} files; remove some base entries"
        )
    try:
        resolved = path.resolve()
        if resolved in seen:
            raise RecipeError(f"{path}: base: the recipe inherits from itself; remove one of the base entries")
        size = check_regular(path)
        if size > MAX_BYTES:
            raise RecipeError(f"{path}: {size / 2**20:.1f} MB is too large for a recipe; check the path")
        data, node = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        name = shortened(path)
        raise RecipeError(f"{name}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RuntimeError) as error:  # not UTF-8, NUL in a path, a loop of links
        raise RecipeError(f"{shortened(path)}: cannot be read ({brief(error)}); check the file") from None
    except YamlError as error:
        where = f":{error.line}" if error.line else ""
        raise RecipeError(f"{path}{where}: {error.reason}") from None
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: a recipe must be a mapping of sections, not a {type(data).__name__}")
    written = [key for key in _BASE_KEYS if key in data]
    bases = [data.pop(key) for key in written]
    bases = bases[0] if bases and isinstance(bases[0], list) else bases
    layer = Layer(path, spell_out(with_present_names(data, None if recorded else str(path))), node, tuple(bases))
    if len(written) > 1:
        raise RecipeError(f"{path}:{layer.line_of(written[:1])}: {written[0]} and {written[1]} mean the same; keep one")
    if not all(isinstance(base, str) for base in bases):
        raise RecipeError(
            f"{path}:{layer.line_of(written)}: {written[0]}: must be the path or name of a recipe, or a list of them"
        )
    for base in bases:
        _read_into(layers, find_recipe(base, path.parent), (*seen, resolved))
    layers.append(layer)


def spell_out(data: dict[str, Any]) -> dict[str, Any]:
    """Expand shorthand: `train: {loss: lsep}` becomes `train: {loss: {name: lsep}}`."""
    for section, key, name in _SHORTHAND:
        values = data.get(section)
        short = values.get(key) if isinstance(values, dict) else None
        if isinstance(values, dict) and isinstance(short, str | list):
            entry = [short] if name == "stages" and isinstance(short, str) else short
            data = {**data, section: {**values, key: {name: entry}}}
    log = data.get("log")
    if isinstance(log, dict) and isinstance(log.get("to"), str):
        data = {**data, "log": {**log, "to": [log["to"]]}}
    return data
