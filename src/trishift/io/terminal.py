"""Safe printing of text from files: labels and paths can neither control the terminal nor end the program."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

from trishift.errors import without_secrets

_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 and C1 without tab, line feed and carriage return
_HIDDEN = r"\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"  # direction and line marks, undecodable bytes
_UNSAFE = re.compile(f"[{_CONTROLS}{_HIDDEN}]")
_COLORS = {"error": "1;31", "warning": "1;33", "note": "36", "next": "32", "written": "32", "report": "32"}
_PREFIX = re.compile(rf"^({'|'.join(_COLORS)}):", re.MULTILINE)
_UNSAFE_IN_LINE = re.compile(rf"[{_CONTROLS}{_HIDDEN}\t\n\r]")


def printable(text: object) -> str:
    r"""Text from a file as part of one line: control characters are escaped as in JSON.

    Example:
        >>> from trishift.io.terminal import printable
        >>> print(printable("clip\n\x1b[31m.mp4"))
        clip\n\u001b[31m.mp4
    """
    return _UNSAFE_IN_LINE.sub(_escape, str(text))


@contextmanager
def safe_output() -> Iterator[None]:
    """Make stdout and stderr print any text, see `SafeStream`."""
    streams = cast(TextIO, SafeStream(sys.stdout)), cast(TextIO, SafeStream(sys.stderr))
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        yield


class SafeStream:
    """A text stream that escapes control characters, and characters that its encoding lacks.

    Passwords and tokens in addresses are left out. Tabs, line feeds and carriage returns pass: programs print them on
    purpose. Escapes are those of JSON, so that lines of JSON stay valid. On a terminal, the first word of errors,
    warnings and the like has a color, unless NO_COLOR is set.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._colored = stream, shows_colors(stream)

    def write(self, text: str) -> int:
        """Write text; returns the number of its characters."""
        text, encoding = _UNSAFE.sub(_escape, without_secrets(text)), self._stream.encoding or "utf-8"
        if not _fits(text, encoding):
            text = "".join(char if _fits(char, encoding) else json.dumps(char)[1:-1] for char in text)
        return self._stream.write(_PREFIX.sub(_color, text) if self._colored else text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def shows_colors(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colors, and its user wants them (https://no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and stream is not None and stream.isatty()


def _color(match: re.Match[str]) -> str:
    return f"\x1b[{_COLORS[match[1]]}m{match[0]}\x1b[0m"


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match.group())[1:-1]


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
