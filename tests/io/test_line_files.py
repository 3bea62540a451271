"""Files of JSON lines: continued after a kill or a full disk, by one writer at a time."""

from __future__ import annotations

from io import FileIO
from pathlib import Path

import pytest

from trishift.errors import OutputError
from trishift.io.line_files import open_lines


def test_an_incomplete_last_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "new/lines.jsonl"
    with open_lines(path) as lines:
        lines.add({"a": 1}, {"b": "ä"})
        assert list(lines) == [{"a": 1}, {"b": "ä"}]
    path.write_bytes(path.read_bytes() + b'{"c": ' + b"x" * 100_000)
    with open_lines(path) as lines:
        assert list(lines) == [{"a": 1}, {"b": "ä"}]
        lines.add({"d": 2})
        lines.keep(2)
        lines.add({"e": 3})
    assert path.read_text("utf-8").splitlines() == ['{"a": 1}', '{"b": "ä"}', '{"e": 3}']
    assert [entry.name for entry in path.parent.iterdir()] == ["lines.jsonl"]


@pytest.mark.parametrize("content", [b"no lines at all", b"\xff\n", b"[1]\n"])
def test_other_content_has_no_records(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with open_lines(tmp_path / "file") as lines:
        assert list(lines) == []


def test_second_writer_is_refused(tmp_path: Path) -> None:
    with (
        open_lines(tmp_path / "file"),
        pytest.raises(OutputError, match="another process is writing it"),
        open_lines(tmp_path / "file"),
    ):
        pass


def test_full_disk_keeps_the_lines_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, free = tmp_path / "file", [16]

    def write(self: FileIO, data: memoryview) -> int:
        if not free[0]:
            raise OSError(28, "No space left on device")
        count = min(len(data), free[0])
        free[0] -= count
        return original(self, data[:count])

    with open_lines(path) as lines:
        lines.add({"number": 1})
        original = FileIO.write

        class Full(FileIO):
            pass

        monkeypatch.setattr(Full, "write", write)
        lines._file = Full(path, "a+")
        lines.add({"number": 2})
        with pytest.raises(OutputError, match=r"No space left on device.*repeat the command to continue"):
            lines.add({"number": 3})
    assert path.read_text() == '{"number": 1}\n{"number": 2}\n'
