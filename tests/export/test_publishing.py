"""New exports replace old ones together, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from trishift.errors import CheckpointError
from trishift.export.publishing import staging


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write_export(folder: Path, text: str) -> None:
    (folder / "a.onnx").write_text(text)
    (folder / "a.paddle").mkdir()
    (folder / "a.paddle" / "inference.json").write_text(text)


def test_files_and_folders_are_replaced_together(tmp_path: Path) -> None:
    write_export(tmp_path, "old")
    (tmp_path / "other").write_text("stays")
    with staging(tmp_path) as stage:
        write_export(stage, "new")
        assert contents(tmp_path)["a.onnx"] == "old"
    assert contents(tmp_path) == {"a.onnx": "new", "a.paddle/inference.json": "new", "other": "stays"}


def test_an_error_or_an_interruption_leaves_the_old_files(tmp_path: Path) -> None:
    write_export(tmp_path, "old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), staging(tmp_path) as stage:
            write_export(stage, "new")
            raise error
    assert contents(tmp_path) == {"a.onnx": "old", "a.paddle/inference.json": "old"}


@pytest.mark.parametrize("failing", range(4))
def test_a_rename_that_fails_brings_the_old_files_back(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(tmp_path, "old")
    rename, calls = Path.rename, iter(range(100))

    def rename_or_fail(self: Path, target: Path) -> Path:
        if next(calls) == failing:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_or_fail)
    with pytest.raises(CheckpointError, match="No space left on device"), staging(tmp_path) as stage:
        write_export(stage, "new")
    assert contents(tmp_path) == {"a.onnx": "old", "a.paddle/inference.json": "old"}


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"), staging(tmp_path / "file"):
        pass
