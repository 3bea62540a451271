"""Import options: properties that tensor names cannot determine, set by the user or inferred from the file's name.

Nothing is guessed silently: every value that does not come from the weights is noted in the report, and a missing one
is an error that names the option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trishift.errors import CheckpointError
from trishift.model.sizes import parse_size
from trishift.model.spec import FRAME_CHANNELS, RELATION_MODES, ModelSpec


@dataclass(frozen=True)
class Option:
    """An import option: a keyword of `trishift.load` and an option of the commands."""

    help: str
    type: Callable[[str], Any] = str
    choices: tuple[str, ...] | None = None


NETWORKS = ("student", "teacher")
SHIFT_DIRECTIONS = ("bidirectional", "unidirectional")
OPTIONS = {
    "num_segments": Option("frames per clip (T), if the weights do not determine it", int),
    "shift": Option("none for a TSN, else the placement of TSM's shift", choices=("none", "block", "blockres")),
    "shift_div": Option("the shift moves 1/SHIFT_DIV of the channels each way", int),
    "shift_direction": Option("unidirectional for an online TSM; default: bidirectional", choices=SHIFT_DIRECTIONS),
    "network": Option("the network to read, of two that learned from each other", choices=NETWORKS),
    "relations": Option("relations of a TRN used in evaluation", choices=RELATION_MODES),
    "non_local_form": Option("pairwise function of non-local blocks", choices=("embedded_gaussian", "dot_product")),
    "modality": Option("input modality, if the channels do not determine it", choices=tuple(FRAME_CHANNELS)),
    "size": Option("input size in pixels: one number, or HEIGHT,WIDTH; default: the model's", parse_size),
    "labels": Option("class names: a file, a shipped list such as kinetics400 (docs/class_names.md), or none"),
}
_CHECKED_BY_FAMILIES = ("shift", "non_local_form")  # which allow others, or less
_RUN_NAME = re.compile(r"^(TSM|TRN|TSN)_")  # the original codebases describe a model in its run's name
_SEGMENTS = (
    re.compile(r"segment(\d+)(?!\d)"),
    re.compile(r"(?<!\d)1x1x(\d+)(?!\d)"),  # mmaction2: frames x interval x segments
    re.compile(r"(?<![a-z0-9])(\d+)f(?:rames?)?(?![a-z0-9])", re.IGNORECASE),
)
_NON_LOCAL = re.compile(r"nl[-_](embedded|dot)[-_]")
_SHIFT = re.compile(r"_shift(\d+)_(blockres|block)(?![a-z])")


class Answers:
    """The import options of one file, taken from the user, the file's name, or a fallback model, in this order.

    Attributes:
        path: the file.
        notes: one line per value that does not come from the weights.
    """

    def __init__(self, path: Path, options: Mapping[str, Any], fallback: ModelSpec | None = None) -> None:
        unknown = sorted(set(options) - set(OPTIONS))
        if unknown:
            raise CheckpointError(f"unknown option {unknown[0]!r}; known: {', '.join(OPTIONS)}")
        self.path = path
        self._options = {name: value for name, value in options.items() if value is not None}
        for name, value in self._options.items():
            choices = OPTIONS[name].choices
            if choices and value not in choices and name not in _CHECKED_BY_FAMILIES:
                raise CheckpointError(f"{path}: {name}={value!r} is unknown; one of {', '.join(choices)}")
        self._hints = _hints(path)
        self._fallback = fallback
        self._never_assumed: dict[str, str] = {}
        self.notes: list[str] = []

    def given(self, option: str) -> Any:
        """Return the user's value, or None."""
        return self._options.get(option)

    def confirm(self, option: str, value: Any) -> Any:
        """Return `value`, determined by the weights, after checking it against the user's."""
        if self._options.get(option, value) != value:
            raise CheckpointError(f"{self.path}: {option}={self._options[option]}, but the weights say {value}")
        self._hints.pop(option, None)  # the weights know better
        return value

    def confirm_named(self, option: str, value: Any, difference: str, remedy: str = "") -> None:
        """Refuse a value that contradicts the file's name.

        Args:
            option: its option.
            value: the user's.
            difference: what weights made with the named value do, for the error.
            remedy: another one than setting the option.
        """
        named = self._hints.get(option)
        if named not in (None, value):
            raise CheckpointError(
                f"{self.path}: {option}={value}, but the file's name says {named}, and weights of {named} "
                f"{difference}; set {option}={named}{remedy}, or rename the file if its name is wrong"
            )

    def ask(self, option: str, question: str) -> Any:
        """Return a value that the weights cannot determine.

        Raises:
            CheckpointError: there is none; the message names the option.
        """
        if option in self._options:
            return self._options[option]
        if option in self._hints:
            return self._note(option, self._hints[option], "from the file's name")
        if self._fallback is not None:
            return self._note(option, _fallback_answer(self._fallback, option), "as in the model asked for")
        raise CheckpointError(
            f"{self.path}: the weights do not determine {question}; set {option}=... (or {flag(option)} ...)"
        )

    def assume(self, option: str, default: Any, reason: str = "as in all published weights") -> Any:
        """Return a value that has a default, for a reason to be noted; else the user's or that of the file's name."""
        if option in self._options:
            return self._options[option]
        if option in self._hints:
            return self._note(option, self._hints[option], "from the file's name")
        if option in self._never_assumed:
            return self.ask(option, self._never_assumed[option])
        return self._note(option, default, reason)

    def never_assume(self, option: str, question: str) -> None:
        """Let `assume` ask for a value whose default does not hold for this file."""
        self._never_assumed[option] = question

    def _note(self, option: str, value: Any, reason: str) -> Any:
        self.notes.append(f"{option}={value} ({reason})")
        return value


def flag(option: str) -> str:
    """Spell an option for the command line: `--num-segments` for `num_segments`."""
    return "--" + option.replace("_", "-")


def _fallback_answer(spec: ModelSpec, option: str) -> Any:
    if option == "shift":
        return "none" if spec.shift is None else spec.shift.placement
    return getattr(spec, option)


def _hints(path: Path) -> dict[str, Any]:
    """Infer options from a file's name, and from its folder's name if that names a run."""
    hints: dict[str, Any] = {}
    names = [path.name, path.parent.name] if _RUN_NAME.match(path.parent.name) else [path.name]
    for name in names:
        for pattern in _SEGMENTS:
            if (found := pattern.search(name)) and int(found[1]):
                hints.setdefault("num_segments", int(found[1]))
        if found := _NON_LOCAL.search(name):
            hints.setdefault("non_local_form", {"embedded": "embedded_gaussian", "dot": "dot_product"}[found[1]])
        words = set(re.split(r"[^a-z0-9]+", name.lower()))
        if found := _SHIFT.search(name):
            hints.setdefault("shift", found[2])
            hints.setdefault("shift_div", int(found[1]))
        elif words & {"tsn", "pptsn"} or (name.startswith("TSM_") and "_segment" in name):
            hints.setdefault("shift", "none")  # a run of the TSM codebase without shift is a TSN
        elif words & {"tsm", "pptsm", "pptsmv2"}:
            hints.setdefault("shift", "tsm")
    return hints
