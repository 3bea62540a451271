"""Recipes by path or by name. The package contains all published recipes, `gestures/tsm` for instance."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from trishift.errors import RecipeError, shortened
from trishift.io.wording import nearest_few

SHIPPED = Path(__file__).parents[1] / "configs"  # in the repository, a link to the folder of that name
_FOLDER, _SUFFIX = "configs", ".yaml"
_LOG = logging.getLogger(__name__)


def find_recipe(name: str | Path, folder: Path | None = None) -> Path:
    """The file of a recipe: a path on disk or, if there is none, the name of a shipped recipe.

    A notice names the file unless it is the path as written.

    Args:
        name: path or name. `.yaml` may be omitted; names may start with `configs/`.
        folder: folder that the path is relative to.

    Raises:
        RecipeError: there is no such recipe; the message names similar ones.
    """
    path = Path(name) if folder is None else folder / name
    try:
        if path.exists() and not path.is_dir():
            return path
        found = next((place for place in _other_places(path, Path(name)) if place.is_file()), None)
    except OSError as error:  # a name that is too long, or a folder without permission
        raise RecipeError(f"{shortened(path, 1000)}: cannot be read: {error.strerror}") from None
    if found is not None:
        _LOG.warning("recipe %s: %s", name, found)
        return found
    raise RecipeError(f"{path}: no such recipe file{_hint(path, Path(name))}")


def shipped_recipes() -> list[str]:
    """The names of the shipped recipes that can be trained: no bases."""
    names = (path.relative_to(SHIPPED).with_suffix("") for path in SHIPPED.glob(f"*/*{_SUFFIX}"))
    return sorted(str(name) for name in names if name.name != "base" and name.parent.name != "models")


def _other_places(path: Path, name: Path) -> Iterator[Path]:
    yield _with_suffix(path)
    if not name.is_absolute() and ".." not in name.parts:
        yield SHIPPED.resolve() / _with_suffix(_short(name))


def _with_suffix(path: Path) -> Path:
    return path if path.suffix == _SUFFIX else Path(f"{path}{_SUFFIX}")


def _short(name: Path) -> Path:
    """`gestures/tsm.yaml` for `configs/gestures/tsm.yaml`."""
    return Path(*name.parts[1:]) if name.parts[:1] == (_FOLDER,) else name


def _hint(path: Path, name: Path) -> str:
    """A similar file in the folder of a path, else similar names of shipped recipes."""
    siblings = {file.name: str(file) for file in path.parent.glob(f"*{_SUFFIX}")}
    close = [siblings[each] for each in nearest_few(_with_suffix(path).name, siblings, 1)]
    close = close or _similar(str(_short(name).with_suffix("")), shipped_recipes())
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return "; give the path of a YAML file, or a name such as gestures/tsm"


def _similar(wanted: str, names: Sequence[str]) -> list[str]:
    """Up to three names that are spelled similarly, or that are the same in another folder."""
    same = [name for name in names if name.rpartition("/")[2] == wanted.rpartition("/")[2]]
    close = nearest_few(wanted, names)
    return list(dict.fromkeys([*close, *same]))[:3]
