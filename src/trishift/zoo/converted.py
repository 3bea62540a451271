"""The canonical conversion of a published file, kept beside it and reused as long as both are unchanged."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256 as hash_of
from pathlib import Path

from trishift.checkpoints import Checkpoint, canonical, import_weights
from trishift.checkpoints.files import sha256
from trishift.checkpoints.reading import describe_model
from trishift.errors import CheckpointError
from trishift.io.atomic import write_text
from trishift.version import version_of
from trishift.zoo.downloading import part_of
from trishift.zoo.fetching import check_available, obtain, wanted_published
from trishift.zoo.home import claimed, home, key_of, read_sums
from trishift.zoo.published import Published


def canonical_path(entry: Published) -> Path:
    """Where the conversion belongs."""
    return home() / "weights" / entry.name / f"{entry.name}.safetensors"


def obtain_canonical(entry: Published) -> Path:
    """Return the canonical file of a published name; downloads and converts what is missing.

    Raises:
        CheckpointError: see `obtain`; or the file holds another model than the table says.
        OutputError: the home folder cannot be written.
    """
    path, wanted = canonical_path(entry), wanted_published(entry)
    if is_current(entry):
        return path
    source = obtain(wanted)
    with claimed(path.parent):
        if not is_current(entry):
            digest = sha256(wanted.target)
            canonical.save(path, import_published(entry, source, digest))
            record = {"source": digest, "converted": sha256(path), "rules": _rules(entry)}
            write_text(_record_path(entry), json.dumps(record, indent=1) + "\n")
    return path


def check_obtainable(entry: Published) -> None:
    """Refuse a name whose file is missing and cannot be downloaded, before any other work; see `check_available`."""
    if not canonical_path(entry).is_file():
        check_available(wanted_published(entry))


def state(entry: Published) -> str:
    """What the home folder has of a published name: `converted`, `downloaded`, `partial` or `-`."""
    target = wanted_published(entry).target
    if canonical_path(entry).is_file():
        return "converted"
    if target.is_file():
        return "downloaded"
    return "partial" if part_of(target).is_file() else "-"


def is_current(entry: Published) -> bool:
    """Whether the conversion exists and belongs to the recorded file, to the table's entry and to this version."""
    try:
        record = json.loads(_record_path(entry).read_text(encoding="utf-8"))
        known = read_sums().get(key_of(wanted_published(entry).target))
        return (record["source"], record["rules"], record["converted"]) == (
            known,
            _rules(entry),
            sha256(canonical_path(entry)),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def import_published(entry: Published, path: Path, digest: str) -> Checkpoint:
    """Import a published file as the model that the table describes.

    Args:
        entry: the table's entry.
        path: the file, or the folder unpacked from it.
        digest: the published file's sha256.

    Raises:
        CheckpointError: the file cannot be imported, or holds another model.
    """
    checkpoint, _ = import_weights(path, dialect=entry.dialect, labels=entry.class_names, **entry.options)
    origin = {**checkpoint.meta["origin"], "file": entry.file, "name": entry.name, "sha256": digest}
    return replace(described(entry, checkpoint), meta={**checkpoint.meta, "origin": origin})


def described(entry: Published, checkpoint: Checkpoint) -> Checkpoint:
    """Add to an imported checkpoint what files do not show, the dropout of its training.

    Raises:
        CheckpointError: it holds another model than the table says.
    """
    assert checkpoint.spec is not None
    published = entry.spec
    if replace(checkpoint.spec, dropout=published.dropout) != published:
        raise CheckpointError(
            f"{entry.name}: the file holds {describe_model(checkpoint.spec)}, but {describe_model(published)} was "
            "published; it is not used"
        )
    return replace(checkpoint, spec=published)


def _record_path(entry: Published) -> Path:
    return canonical_path(entry).with_suffix(".json")


def _rules(entry: Published) -> str:
    """What the conversion depends on besides the file."""
    code = version_of("model", "checkpoints")
    wanted = (code, entry.dialect, entry.options, entry.spec, entry.labels or entry.data, entry.sha256)
    return hash_of(repr(wanted).encode()).hexdigest()
