"""Changing the metadata of a checkpoint in place: its tensors and its training state stay as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trishift.checkpoints.canonical import DESCRIPTION_KEY, decode
from trishift.checkpoints.files import open_weights
from trishift.checkpoints.formats.safetensors import read_safetensors, write_safetensors
from trishift.checkpoints.reading import import_weights
from trishift.checkpoints.writing import write_native
from trishift.errors import CheckpointError


def check_rewritable(path: Path) -> None:
    """Refuse weights without a description, which have no metadata to change.

    Raises:
        CheckpointError: they are those of another code base.
    """
    if not isinstance(open_weights(path).extras.get(DESCRIPTION_KEY), str):
        raise CheckpointError(
            f"{path}: weights of another code base have no place for it; name a new file with --output best.safetensors"
        )


def add_meta(path: Path, entries: Mapping[str, Any]) -> None:
    """Add entries to the metadata of a checkpoint, or replace them, atomically.

    Args:
        path: a file with a description, in any format; a link to one stays a link.
        entries: of `meta`, see `Checkpoint`.

    Raises:
        CheckpointError: see `check_rewritable`; or an entry is unknown or malformed.
        OutputError: the file cannot be written, and is left untouched.
    """
    path = path.resolve()
    check_rewritable(path)
    if open_weights(path).format != "safetensors":
        checkpoint, _ = import_weights(path)
        write_native(path, replace(checkpoint, meta={**checkpoint.meta, **entries}))
        return
    tensors, metadata = read_safetensors(path)
    description = json.loads(metadata[DESCRIPTION_KEY])
    description["meta"].update(entries)
    metadata = {**metadata, DESCRIPTION_KEY: json.dumps(description, ensure_ascii=False)}
    decode(path, {}, metadata)
    write_safetensors(path, tensors, metadata)
