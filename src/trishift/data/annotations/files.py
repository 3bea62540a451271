"""One file of annotations: read and parsed once, as JSON, XML or a table, within bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from trishift.data.lists.text import Line, content_lines, csv_rows, read_text
from trishift.errors import DataError, brief
from trishift.io.regular import check_regular
from trishift.io.wording import counted, unreadable

_LARGEST = 256 * 2**20  # bytes; the annotations of ActivityNet have 10 MB
_DELIMITERS = "\t;,|"


class AnnotationFile:
    """A text file, parsed on demand.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read, is too large, or is not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            size = check_regular(path)
        except OSError as error:
            raise DataError(unreadable(path, error)) from None
        if size > _LARGEST:
            raise DataError(f"{path}: {size:,} bytes are too many for annotations; export fewer videos at once")
        self.text = read_text(path)
        if not self.text.strip():
            raise DataError(f"{path}: the file is empty; export the annotations again")

    @cached_property
    def json(self) -> Any:
        """The content of a JSON file; None for other files."""
        if self.text.lstrip()[0] not in "[{":
            return None
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path}: is not valid JSON ({brief(error)}); export the annotations again") from None

    @cached_property
    def xml(self) -> ElementTree.Element | None:
        """The root element of an XML file; None for other files."""
        if self.text.lstrip()[0] != "<":
            return None
        if "<!DOCTYPE" in self.text or "<!ENTITY" in self.text:
            raise DataError(f"{self.path}: declares XML entities, which label tools never do; export it again")
        try:
            return ElementTree.fromstring(self.text)
        except ElementTree.ParseError as error:
            raise DataError(
                f"{self.path}:{error.position[0]}: is not valid XML ({brief(error)}); export the annotations again"
            ) from None

    @cached_property
    def lines(self) -> list[Line]:
        """The lines of a text file without blank ones and comments."""
        return list(content_lines(self.path, self.text.split("\n"), keep_tabs=True))

    @cached_property
    def header(self) -> list[str]:
        """The cells of a table's first line; a single one if it is no table."""
        if self.json is not None or self.xml is not None or not self.lines:
            return []
        return next(csv_rows(self.path, self.lines[:1], self._delimiter))[1]

    @property
    def _delimiter(self) -> str:
        counts = {mark: self.lines[0].text.count(mark) for mark in _DELIMITERS}
        return max(counts, key=lambda mark: counts[mark])

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and cells by column name of each row below the header.

        Raises:
            DataError: a row has another number of cells than the header.
        """
        for line, cells in csv_rows(self.path, self.lines[1:], self._delimiter):
            if len(cells) != len(self.header):
                raise DataError(
                    f"{self.path}:{line.number}: {counted(len(cells), 'column')} instead of {len(self.header)}; "
                    "export the table again"
                )
            yield line.number, {name.strip(): cell.strip() for name, cell in zip(self.header, cells, strict=True)}
