"""Printing text from files: control characters, encodings, and lines that stay lines."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trishift.io.terminal import SafeStream, printable

HOSTILE = (
    "\x1b]0;title\x07",  # sets the window's title
    "\x1b[2J",
    "\x9b31m",  # the 8-bit form of ESC [
    "a\u202eb",  # right-to-left override
    "a\u2028b",
    "\udce9",  # an undecodable byte of a file name
    "\x00\x08\x7f",
)


def written(text: str, encoding: str) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    SafeStream(stream).write(text)
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
def test_control_characters_are_escaped(text: str, encoding: str) -> None:
    assert not set(written(text, encoding)) & {char for char in text if char not in "ab0;title[2J31m]"}
    assert set(printable(text)) <= {chr(code) for code in range(32, 127)}


def test_passwords_of_addresses_are_not_printed() -> None:
    text = "rtsp://me:p:w@cam:554/live dropped; s3://key@bucket, https://h/w.pth?X-Amz-Signature=ab12&part=1#sha256=00"
    assert written(text, "utf-8") == (
        "rtsp://cam:554/live dropped; s3://bucket, https://h/w.pth?X-Amz-Signature=...&part=1#sha256=00"
    )
    unchanged = "hf://owner/repo@v1, https://h:80/a@b?part=1, a@b.c"
    assert written(unchanged, "utf-8") == unchanged


def test_program_output_passes_unchanged() -> None:
    text = "50%\r60%\n\tcafé, 手话\n"
    assert written(text, "utf-8") == text
    assert printable("café, 手话") == "café, 手话"
    assert printable("two\nlines\r\t") == "two\\nlines\\r\\t"


@given(st.text())
def test_json_lines_stay_valid_in_every_encoding(text: str) -> None:
    line = json.dumps({"name": text}, ensure_ascii=False)
    for encoding in ("ascii", "utf-8", "cp1252"):
        assert json.loads(written(line, encoding)) == {"name": text}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colors_are_for_terminals_of_users_who_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(stream: io.StringIO) -> str:
        SafeStream(stream).write("error: a.mp4: \x1b[0m; warning: no\nreport: b\n")
        return stream.getvalue()

    plain = "error: a.mp4: \\u001b[0m; warning: no\nreport: b\n"
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert shown(io.StringIO()) == plain
    colored = shown(Terminal())
    assert colored == plain.replace("error:", "\x1b[1;31merror:\x1b[0m").replace("report:", "\x1b[32mreport:\x1b[0m")
    monkeypatch.setenv("NO_COLOR", "1")
    assert shown(Terminal()) == plain
