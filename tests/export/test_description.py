"""Descriptions of exports: damaged ones are refused in one line, and name only files of the export."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trishift.backends.program import ProgramSpec
from trishift.checkpoints import Checkpoint
from trishift.errors import CheckpointError
from trishift.export.description import Description, check_files, encode, fingerprints, read_description
from trishift.export.formats import FORMATS
from trishift.io.protobuf import bytes_field, varint_field
from trishift.model.spec import InputSpec, ModelSpec

MODEL = ModelSpec("resnet10", num_classes=2, num_segments=4, width=8)


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    """The description of an ONNX file, which exists."""
    (tmp_path / "m.onnx").write_bytes(b"onnx")
    checkpoint, program = Checkpoint({}, MODEL, InputSpec(resize=32, crop=32)), ProgramSpec(MODEL, (32, 32))
    files = fingerprints(tmp_path / "m.onnx")
    return json.loads(
        encode(Description(FORMATS["onnx"], checkpoint, program, {"pytorch": "2"}, {"largest": 0}, files))
    )


def checked(folder: Path, content: dict[str, Any]) -> Description:
    (folder / "m.onnx.trishift.json").write_text(json.dumps(content))
    description = read_description(folder / "m.onnx")
    check_files(folder / "m.onnx", description)
    return description


def test_reads_what_it_wrote(tmp_path: Path, content: dict[str, Any]) -> None:
    assert checked(tmp_path, content).program == ProgramSpec(MODEL, (32, 32))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        *((None, key, value) for key in ("files", "measured", "written_by", "program") for value in (5, [], "x")),
        *(("program", "size", value) for value in ("x", -1, 2**40, None, True)),
        *(("files", name, {"bytes": 1, "sha256": ""}) for name in ("../m.onnx", "/etc/passwd", "a\\b", "..", "")),
        ("files", "m.onnx", {"bytes": "x", "sha256": ""}),
        ("program", "uint8", "x"),
    ],
)
def test_rejects_wrong_types_and_files_elsewhere(
    tmp_path: Path, content: dict[str, Any], section: str | None, key: str, value: object
) -> None:
    (content if section is None else content[section])[key] = value
    with pytest.raises(CheckpointError, match="not an exported model's description") as error:
        checked(tmp_path, content)
    assert "\n" not in str(error.value)


PAIR = bytes_field(1, b"trishift")


@pytest.mark.parametrize(
    "data",
    [
        varint_field(14, 2**64 - 1),
        bytes_field(14, PAIR),
        bytes_field(14, PAIR + varint_field(2, 2**63)),
        bytes_field(14, PAIR + bytes_field(2, b"[" * 100_000)),
        b"\xff" * 50,
    ],
)
def test_rejects_damaged_onnx_metadata(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"damaged|is missing"):
        read_description(tmp_path / "m.onnx")


def test_names_too_long_for_a_file_are_missing(tmp_path: Path, content: dict[str, Any]) -> None:
    description = replace(checked(tmp_path, content), files={"x" * 300: {"bytes": 1, "sha256": ""}})
    with pytest.raises(CheckpointError, match="is missing"):
        check_files(tmp_path, description)


def test_rejects_bombs_and_devices(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/extra/trishift", bytes(10**7))
    with pytest.raises(CheckpointError, match="far more than its size"):
        read_description(tmp_path / "m.pt2")
    (tmp_path / "zero.onnx").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="a pipe or device"):
        read_description(tmp_path / "zero.onnx")
