"""Files and folders are written atomically, whatever goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from trishift.checkpoints.formats.mindspore import write_ckpt
from trishift.checkpoints.formats.paddle import write_pdparams
from trishift.checkpoints.formats.paddle_legacy import write_folder
from trishift.checkpoints.formats.pytorch import write_pytorch
from trishift.checkpoints.formats.safetensors import write_safetensors
from trishift.errors import OutputError
from trishift.io.atomic import check_writable, scratch, staged, staged_together, write_atomically, write_text


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write_export(folder: Path, text: str) -> None:
    (folder / "a.onnx").write_text(text)
    (folder / "a.paddle").mkdir()
    (folder / "a.paddle" / "inference.json").write_text(text)


def test_text_is_replaced_and_keeps_non_utf8_bytes(tmp_path: Path) -> None:
    write_text(tmp_path / "list.txt", "old")
    write_text(tmp_path / "list.txt", "new \udce4\n")
    assert (tmp_path / "list.txt").read_bytes() == b"new \xe4\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["list.txt"]


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_text("old")

    def full_disk(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"w\.safetensors: cannot be written \(No space left on device\)"):
        write_atomically(path, full_disk)
    assert contents(tmp_path) == {"w.safetensors": "old"}
    assert len(list(tmp_path.iterdir())) == 1


def test_folders_are_atomic_and_never_replaced(tmp_path: Path) -> None:
    for text in ("new", "newer"):
        expected = pytest.raises(OutputError, match="not empty") if text == "newer" else pytest.MonkeyPatch.context()
        with expected, staged(tmp_path / "frames") as folder:
            write_export_folder(folder, text)
    assert contents(tmp_path) == {"frames/1.jpg": "new"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["frames"]


def write_export_folder(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "1.jpg").write_text(text)


def test_errors_about_input_keep_their_type(tmp_path: Path) -> None:
    import gzip

    with pytest.raises(gzip.BadGzipFile), staged(tmp_path / "file"):
        raise gzip.BadGzipFile("Not a gzipped file")


WRITERS: dict[str, Callable[[Path, dict[str, np.ndarray]], object]] = {
    "w.safetensors": lambda path, tensors: write_safetensors(path, tensors, {"a": "b"}),
    "w.pth": lambda path, tensors: write_pytorch(path, tensors, {}, None),
    "w.ckpt": lambda path, tensors: write_ckpt(path, tensors, {}),
    "w.pdparams": lambda path, tensors: write_pdparams(path, tensors, {}),
    "fluid": write_folder,
    "list.txt": lambda path, tensors: write_text(path, "text"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_final_file_is_synced(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[int, int]] = []
    sync = os.fsync

    def remember(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_ino, status.st_size))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", remember)
    WRITERS[name](tmp_path / name, {"a": np.arange(6, dtype=np.float32)})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert (path.stat().st_ino, path.stat().st_size) in synced
    assert tmp_path.stat().st_ino in [inode for inode, _ in synced]  # the rename, too


KILLED = """
import sys, time
from pathlib import Path
from trishift.io.atomic import check_writable, staged
with staged(Path(sys.argv[1])) as new:
    new.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def begin_writing(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def test_next_writer_removes_leftovers_of_a_killed_one(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    process = begin_writing(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [entry.name for entry in tmp_path.iterdir()] == [".unfinished-last.safetensors"]
    write_text(path, "whole")
    assert contents(tmp_path) == {"last.safetensors": "whole"}
    assert len(list(tmp_path.iterdir())) == 1


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    process = begin_writing(path)
    other = threading.Thread(target=write_text, args=(path, "second"))
    other.start()
    time.sleep(0.3)
    assert other.is_alive() and not path.exists()
    assert (tmp_path / ".unfinished-result.json" / "result.json").read_text() == "half"
    process.kill()
    process.wait()
    other.join(10)
    assert contents(tmp_path) == {"result.json": "second"}


def test_concurrent_writers_leave_one_whole_text(tmp_path: Path) -> None:
    texts = [str(number) * 1000 for number in range(8)]

    def write(text: str) -> None:
        for _ in range(20):
            write_text(tmp_path / "f", text)

    with ThreadPoolExecutor(len(texts)) as pool:
        list(pool.map(write, texts))  # raises what a writer raised
    assert (tmp_path / "f").read_text() in texts
    assert len(list(tmp_path.iterdir())) == 1


def test_trial_of_a_path_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b" / "c.json")
    (tmp_path / "old").mkdir()
    check_writable(tmp_path / "old" / "c.json")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        check_writable(tmp_path / "file" / "b" / "c.json")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "old"]


def test_scratch_folder_is_empty_and_removed(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-a.rar").mkdir()
    (tmp_path / ".unfinished-a.rar" / "left").touch()
    with scratch(tmp_path / "a.rar") as folder:
        assert folder.parent == tmp_path and not list(folder.iterdir())
    assert not list(tmp_path.iterdir())


def test_files_and_folders_are_replaced_together(tmp_path: Path) -> None:
    write_export(tmp_path, "old")
    (tmp_path / "other").write_text("stays")
    with staged_together(tmp_path, "a") as stage:
        write_export(stage, "new")
        assert contents(tmp_path)["a.onnx"] == "old"
    assert contents(tmp_path) == {"a.onnx": "new", "a.paddle/inference.json": "new", "other": "stays"}
    assert len(list(tmp_path.iterdir())) == 3


def test_interruption_keeps_the_old_files(tmp_path: Path) -> None:
    write_export(tmp_path, "old")
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), staged_together(tmp_path, "a") as stage:
            write_export(stage, "new")
            raise error
    assert contents(tmp_path) == {"a.onnx": "old", "a.paddle/inference.json": "old"}


@pytest.mark.parametrize("failing", range(4))
def test_failed_rename_restores_the_old_files(tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    write_export(tmp_path, "old")
    rename, calls = Path.rename, iter(range(100))

    def rename_or_fail(self: Path, target: Path) -> Path:
        if next(calls) == failing:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_or_fail)
    with pytest.raises(OutputError, match="No space left on device"), staged_together(tmp_path, "a") as stage:
        write_export(stage, "new")
    assert contents(tmp_path) == {"a.onnx": "old", "a.paddle/inference.json": "old"}


def test_kill_between_renames_loses_nothing(tmp_path: Path) -> None:
    old = tmp_path / ".replacing-a" / ".old"
    old.mkdir(parents=True)
    (old / "a.onnx").write_text("old")
    (old / "a.json").write_text("old")
    (tmp_path / "a.json").write_text("new")
    with pytest.raises(ValueError), staged_together(tmp_path, "a"):
        raise ValueError
    assert contents(tmp_path) == {"a.onnx": "old", "a.json": "new"}


def test_uncreatable_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"), staged_together(tmp_path / "file", "a"):
        pass
    with pytest.raises(OutputError, match=r"cannot be written \(no name has a NUL"), staged(tmp_path / "a\0b" / "c"):
        pass


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
@pytest.mark.parametrize("written", [0o600, 0o644, 0o666])
def test_files_get_the_mode_of_the_umask_whatever_a_library_sets(tmp_path: Path, umask: int, written: int) -> None:
    before = os.umask(umask)
    try:
        with staged(tmp_path / "one") as new:
            new.touch()
            new.chmod(written)
        with staged_together(tmp_path, "group") as stage:
            (stage / "folder").mkdir()
            (stage / "folder/two").touch()
            (stage / "folder/two").chmod(written)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("one", "folder/two")] == [0o666 & ~umask] * 2
