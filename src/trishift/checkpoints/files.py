"""Detection of file formats by content, not by name."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from trishift.checkpoints.formats.mindspore import looks_like_ckpt, read_ckpt
from trishift.checkpoints.formats.paddle import read_pdparams
from trishift.checkpoints.formats.paddle_legacy import read_folder
from trishift.checkpoints.formats.pytorch import LEGACY_MAGIC, read_legacy, read_zip
from trishift.checkpoints.formats.safetensors import looks_like_safetensors, open_safetensors
from trishift.checkpoints.formats.stored import WeightFile, guarded
from trishift.errors import CheckpointError
from trishift.io.pickles import recorded_calls
from trishift.io.regular import check_regular
from trishift.io.wording import unreadable

RUN_FILES = ("best.safetensors", "last.safetensors")  # the weights in a run folder, best first
FINAL_MODEL = "model.safetensors"  # of a fine-tuning
_HEAD = 512  # bytes that identify a format
_LARGEST_INFLATION = 50  # of float32 in memory over bytes on disk; 1 to 4 in published files
_log = logging.getLogger(__name__)


def weight_path(path: str | Path) -> Path:
    """Return the weight file that a path names: itself, or the best (else the newest) weights of a run folder.

    The folder of a fine-tuning stands for its final model.

    Raises:
        CheckpointError: the folder contains run folders.
    """
    path = Path(path)
    for name in (*RUN_FILES, FINAL_MODEL):
        if (path / name).is_file():
            _announce(path, name)
            return path / name
    runs = sorted({file.parent.name for name in RUN_FILES for file in path.glob(f"*/{name}")}) if path.is_dir() else []
    if runs:
        raise CheckpointError(f"{path}: contains run folders ({', '.join(runs[:5])}); name one of them")
    return path


@lru_cache(maxsize=64)
def _announce(folder: Path, name: str) -> None:
    """Name the file that stands for a run folder, once per process."""
    _log.warning("%s: a run folder; its %s is used", folder, name)


def open_weights(path: str | Path) -> WeightFile:
    """Open a file of any supported format, or the weights of a run folder; tensors are read on demand.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind, or a pickle that would run code.
    """
    file = _open(weight_path(path))
    _refuse_inflation(file)
    return guarded(file)


def foreign_calls(path: str | Path) -> list[str]:
    """What the pickles of a file would import and call if they were executed, apart from what weights need.

    Nothing is executed here. The list is empty for files that are no pickles, and ends where a file is damaged.
    """
    with recorded_calls() as calls, suppress(CheckpointError):
        open_weights(path)
    return [call for call in calls if not any(other.startswith(f"{call}(") for other in calls)]


def _refuse_inflation(file: WeightFile) -> None:
    """Compare declared shapes with stored bytes: tensors may share storage, but not turn kilobytes into gigabytes."""
    parts = file.path.iterdir() if file.path.is_dir() else (file.path,)
    stored = sum(part.stat().st_size for part in parts if part.is_file())
    declared = sum(4 * math.prod(tensor.shape) for tensor in file.tensors.values())
    if declared > _LARGEST_INFLATION * stored:
        raise CheckpointError(
            f"{file.path}: its tensors would take {declared / 2**20:,.0f} MB, far more than the "
            f"{stored / 2**20:,.1f} MB stored; this is not a weight file"
        )


def _open(path: Path) -> WeightFile:
    if path.is_dir():
        return read_folder(path)
    head = first_bytes(path)
    refuse_other_things(path, head)
    if looks_like_safetensors(head):  # first: its length field may look like any other format
        tensors, metadata = open_safetensors(path)
        return WeightFile(path, "safetensors", tensors, dict(metadata))
    if head.startswith(b"PK"):
        return read_zip(path)
    if head.startswith(LEGACY_MAGIC):
        return read_legacy(path)
    if head.startswith(b"\x80"):  # any other pickle of protocol 2 or later
        return read_pdparams(path)
    if looks_like_ckpt(head):
        return read_ckpt(path)
    raise CheckpointError(
        f"{path}: not a weight file of a known format (PyTorch, MindSpore, Paddle, safetensors), or damaged"
    )


def first_bytes(path: Path) -> bytes:
    """The bytes that identify a format.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        check_regular(path)
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise CheckpointError(unreadable(path, error)) from error


def is_archive(head: bytes) -> bool:
    """Whether the first bytes of a file (512) are those of a compressed file or a tar."""
    return head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or head[257:262] == b"ustar"


def refuse_other_things(path: Path, head: bytes, *, archives: bool = False) -> None:
    """Refuse other content saved under a weight file's name by a failed download.

    Args:
        path: the file, for messages.
        head: its first bytes.
        archives: accept archives.

    Raises:
        CheckpointError: the file is empty, a web page, a Git LFS pointer or an archive.
    """
    text = head.lstrip().lower()
    if not head:
        problem = "is empty (0 bytes); download it again"
    elif text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        problem = "is a web page, not weights: the link is dead or requires a login; download it again"
    elif text.startswith(b"version https://git-lfs"):
        problem = "is a Git LFS pointer, not weights; run git lfs pull"
    elif is_archive(head) and not archives:
        problem = "is an archive; unpack it and pass the file inside"
    else:
        return
    raise CheckpointError(f"{path}: {problem}")


def sha256(path: str | Path) -> str:
    """Hash a file, or the names and contents of a folder's files in order of name."""
    path = Path(path)
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(entry for entry in path.iterdir() if entry.is_file()):
        if file != path:
            digest.update(os.fsencode(file.name) + b"\0")
        with file.open("rb") as content:
            while block := content.read(2**20):
                digest.update(block)
    return digest.hexdigest()
