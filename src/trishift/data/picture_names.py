"""Series of numbered pictures in a folder: frames, optical flow and masks, distinguished by their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trishift.io.regular import is_dir

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
DIRECTIONS = (("x", "y"), ("u", "v"), ("dx", "dy"), ("h", "v"), ("horizontal", "vertical"))
_MASK_WORDS = frozenset(
    {"mask", "masks", "matte", "mattes", "seg", "segm", "segmentation", "segmentations", "depth", "disparity"}
)
_FLOW_WORDS = frozenset({"flow", "flows", "optflow", "opticalflow", "flowx", "flowy", "flowu", "flowv"})
_FOLDER_PAIRS = [(prefix + x, prefix + y) for prefix in ("", "flow_", "flow") for x, y in DIRECTIONS]
_TREE_DEPTH = 3  # folders between a clip and its tree: splits and classes
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class Series:
    """Pictures whose names differ only in one number.

    Attributes:
        head, tail: the names before and after the number.
        digits: the numbers as written.
    """

    head: str
    tail: str
    digits: tuple[str, ...]

    @property
    def template(self) -> str:
        """File name with the number in braces, for the most common way to write the numbers."""
        widths = [len(digits) for digits in self.digits if digits.startswith("0") and len(digits) > 1]
        width = max(set(widths), key=widths.count) if widths else min(map(len, self.digits))
        return f"{_escape(self.head)}{{:0{width}d}}{_escape(self.tail)}"

    @property
    def kind(self) -> Literal["frames", "flow", "masks"]:
        """Content of the pictures according to the words in their names."""
        words = {word.lower() for word in _WORD.findall(self.head + Path(self.tail).stem)}
        if words & _MASK_WORDS:
            return "masks"
        return "flow" if words & _FLOW_WORDS else "frames"


def find_series(names: Iterable[str]) -> list[Series]:
    """Group pictures into series, largest first; of several numbers in a name, the one that varies most counts."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    keys: dict[str, list[tuple[str, str]]] = {}
    for name in sorted(names):
        if Path(name).suffix.lower() in PICTURE_SUFFIXES:
            stem = len(name) - len(Path(name).suffix)
            runs = [match for match in re.finditer(r"[0-9]+", name) if match.end() <= stem]
            keys[name] = [(name[: run.start()], name[run.end() :]) for run in runs]
            for run, key in zip(runs, keys[name], strict=True):
                groups[key].append(run.group())
    members: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name, candidates in keys.items():
        if candidates:
            head, tail = max(reversed(candidates), key=lambda key: len(groups[key]))
            members[head, tail].append(name[len(head) : len(name) - len(tail)])
    series = [Series(head, tail, tuple(digits)) for (head, tail), digits in members.items()]
    return sorted(series, key=lambda each: -len(each.digits))


def flow_pairs(series: Iterable[Series]) -> list[tuple[Series, Series]]:
    """Pairs of series whose names differ only in the direction of flow, horizontal before vertical."""
    by_name = {(each.head, each.tail): each for each in series if each.kind != "masks"}
    pairs = []
    for (head, tail), first in by_name.items():
        for other in _counterparts(head, tail):
            if other in by_name:
                pairs.append((first, by_name[other]))
    return pairs


def lone_directions(series: Iterable[Series]) -> list[Series]:
    """Flow series that are named after a direction, without their counterpart."""
    series = list(series)
    paired = {id(each) for pair in flow_pairs(series) for each in pair}
    return [
        each
        for each in series
        if each.kind == "flow" and id(each) not in paired and _DIRECTION.search(each.head + Path(each.tail).stem)
    ]


def flow_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of horizontal and vertical flow inside a folder (`x` and `y`, `flow_u` and `flow_v`, ...)."""
    for x, y in _FOLDER_PAIRS:
        if is_dir(folder / x) and is_dir(folder / y):
            return folder / x, folder / y
    return None


def flow_trees(clip: Path) -> tuple[Path, Path] | None:
    """The folders of a clip in parallel trees of horizontal and vertical flow: `u/clip` and `v/clip`.

    Args:
        clip: `clip` beside the trees, where it need not exist, or the folder in either tree.
    """
    for depth, tree in enumerate((clip, *clip.parents)):
        if depth > _TREE_DEPTH:
            break
        for x, y in _FOLDER_PAIRS:
            inside = tree.name in (x, y)
            root = tree.parent if inside else tree
            rest = clip.relative_to(tree)
            if (inside or rest.parts) and is_dir(root / x / rest) and is_dir(root / y / rest):
                return root / x / rest, root / y / rest
    return None


def is_mask_folder(folder: Path) -> bool:
    """Whether a folder is named after masks or depth maps."""
    return folder.name.lower() in _MASK_WORDS


_NAMES = "|".join({name for pair in DIRECTIONS for name in pair})
_DIRECTION = re.compile(rf"(?<![A-Za-z])(?:flow|optflow|opticalflow)?({_NAMES})(?![A-Za-z])", re.IGNORECASE)
_SECOND = {first: [b for a, b in DIRECTIONS if a == first] for first, _ in DIRECTIONS}


def _counterparts(head: str, tail: str) -> Iterator[tuple[str, str]]:
    """The names with one horizontal direction replaced by its vertical counterpart, in the same case."""
    for part, text in enumerate((head, tail)):
        for match in _DIRECTION.finditer(text):
            for second in _SECOND.get(match[1].lower(), ()):
                other = second.upper() if match[1].isupper() else second
                changed = text[: match.start(1)] + other + text[match.end(1) :]
                yield (changed, tail) if part == 0 else (head, changed)


def natural_order(names: Iterable[str]) -> list[str] | None:
    """Sort names by the numbers in them; None if it matters whether these are decimal fractions (1.25, 1.5)."""
    names = list(names)
    whole, decimal = (sorted(names, key=_number_key(number)) for number in (r"[0-9]+", r"[0-9]+(?:\.[0-9]+)?"))
    return whole if whole == decimal else None


def _number_key(number: str) -> Callable[[str], tuple[list[str], list[float], str]]:
    return lambda name: (re.split(number, name), [float(each) for each in re.findall(number, name)], name)


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
