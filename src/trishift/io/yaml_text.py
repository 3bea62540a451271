"""YAML from untrusted files, parsed within limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import yaml

MAX_VALUES = 10_000  # per text, with aliases expanded
_NUMBER = re.compile(  # of a file name template; quoted texts and comments are matched to skip them
    r"""(?<![^\s,\[{=])(?:'[^'\n]*'|"[^"\n]*"|(?<!=)\#[^\n]*)|(?P<number>\{:[0-9]{0,3}d\})"""
)
_REST = re.compile(r"[^\s,'\"\[\]{}]*")
_LONGEST_GAP = 1000  # spaces between a key and its value
_STARTS = frozenset(" \t\r\n\f\v,[{=")  # characters before a word
_MAX_DIGITS = 4300  # Python refuses to print longer integers


class YamlError(Exception):
    """Text that is not valid YAML, or exceeds the limits.

    Attributes:
        reason: description of the problem.
        line: 1-based line, None where unknown.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line = " ".join(reason.split()), line


def parse_yaml(text: str) -> tuple[Any, yaml.Node | None]:
    """Parse YAML into plain values and the root node, whose marks hold the line numbers.

    A few hundred bytes of YAML can expand to billions of values (nested aliases), so values are counted while they are
    parsed, and with their aliases before any is constructed.

    A file name template such as `{:05d}.jpg`, whose braces have another meaning in YAML, needs no quotes.

    Raises:
        YamlError: invalid YAML, a value that Python cannot represent, or too many values.
    """
    try:
        return _parse(_quoted(text, _is_value))
    except YamlError as error:
        quoted = _quoted(text, lambda *_: True)
        if quoted == text:
            raise
        with suppress(YamlError):
            return _parse(quoted)
        raise error from None


def parse_yaml_texts(text: str) -> Any:
    """Parse YAML into lists, maps and texts as written: `no`, `010` and `1e3` stay what they are.

    Raises:
        YamlError: as in `parse_yaml`.
    """
    node = parse_yaml(text)[1]
    return None if node is None else _as_written(node)


def _as_written(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(_as_written(key)): _as_written(value) for key, value in node.value}
    return [_as_written(child) for child in node.value] if isinstance(node, yaml.SequenceNode) else node.value


def _quoted(text: str, chosen: Callable[[str, int], bool]) -> str:
    """The text with templates in quotes where `chosen(text, start)` is true; linear in time, whatever the text."""
    parts: list[str] = []
    done = 0
    for match in _NUMBER.finditer(text):
        start = None if match["number"] is None or match.start() < done else _word_start(text, done, match.start())
        if start is None:
            continue
        end = _REST.match(text, match.end()).end()  # type: ignore[union-attr]
        template = text[start:end]
        parts += [text[done:start], f"'{template}'" if chosen(text, start) else template]
        done = end
    return "".join([*parts, text[done:]])


def _word_start(text: str, least: int, end: int) -> int | None:
    """Where the word begins that contains `end`, not before `least`; `{}` may be part of it. None: in another word."""
    start = end
    while start > least:
        if text[start - 1] == "}" and start - 2 >= least and text[start - 2] == "{":
            start -= 2
        elif _REST.fullmatch(text, start - 1, start):
            start -= 1
        else:
            break
    if start == 0 or text[start - 1] in _STARTS:
        return start
    inner = text.find("=", start, end)
    return None if inner < 0 else inner + 1


def _is_value(text: str, start: int) -> bool:
    """Whether a template starts a value with a brace, which is never meant as a mapping."""
    before = text[max(0, start - _LONGEST_GAP) : start].rstrip(" ")
    return text.startswith("{:", start) and (not before or before[-1] in ":,[{\n")


def _parse(text: str) -> tuple[Any, yaml.Node | None]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        if _count_values(node, {}) > MAX_VALUES:
            raise YamlError(f"more than {MAX_VALUES:,} values with aliases expanded")
        return loader.construct_document(node), node
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        raise YamlError(f"not valid YAML: {reason}", mark.line + 1 if mark else None) from None
    except (RecursionError, MemoryError):
        raise YamlError("nested too deeply") from None
    except ValueError as error:  # dates that do not exist, numbers of thousands of digits
        raise YamlError(f"not a usable value: {error}") from None


class _Loader(yaml.SafeLoader):
    """A loader that stops at the limits instead of after them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise YamlError(f"more than {MAX_VALUES:,} values")
        return super().compose_node(parent, index)  # type: ignore[no-any-return]

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:  # YAML would keep the last one and lose the others
                raise YamlError(f"key {key.value!r} appears twice; keep one of them", key.start_mark.line + 1)
            seen.add(key.value)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > _MAX_DIGITS:
            raise ValueError("an integer of too many digits")
        return int(super().construct_yaml_int(node))


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _count_values(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values in a node with aliases expanded; exceeds MAX_VALUES if the node contains itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MAX_VALUES + 1  # seen again before the count below is done: a cycle
        children = [n for pair in node.value for n in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + sum(_count_values(child, known) for child in children)
    return known[id(node)]
