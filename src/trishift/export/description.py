"""Description of an exported model: JSON beside the file or in the folder, and inside the file if the format allows.

    best.onnx      best.onnx.trishift.json
    best.mindir    best.mindir.trishift.json
    best.pt2       best.pt2.trishift.json
    best.paddle/   inference.json, inference.pdiparams, trishift.json

It contains the checkpoint's description (model, pixels, class names, recipe), the program's inputs and outputs, the
software that wrote it, its measured difference from the checkpoint, and the hashes of the files.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trishift.backends.program import Port, ProgramSpec
from trishift.checkpoints.canonical import DESCRIPTION_KEY, Checkpoint, decode_description, encode_description
from trishift.checkpoints.files import sha256
from trishift.errors import CheckpointError, brief, shortened
from trishift.export.formats import FORMATS, Format
from trishift.io.archives import read_entry
from trishift.io.atomic import write_text
from trishift.io.protobuf import BYTES, fields
from trishift.io.regular import check_regular, is_file
from trishift.io.wording import counted
from trishift.model.sizes import size_of, size_text, written_size
from trishift.model.spec import InputSpec

FILE = "trishift.json"
FORMAT_VERSION = 1
_INFLATION = 50  # of the description inside a zip archive, over the bytes of the archive
_MOST_PIXELS = 2**16  # per side
_ONNX_METADATA = 14  # field of a ModelProto that holds key-value pairs


@dataclass(frozen=True)
class Description:
    """Everything about an exported model except the program itself.

    Attributes:
        format: the deployment format.
        checkpoint: the source checkpoint, without tensors.
        program: inputs and outputs of the program.
        written_by: software names to versions; for ONNX files also `opset`.
        measured: difference from the checkpoint, see `proof.py`; empty in the copy inside the file.
        files: name to `bytes` and `sha256`; empty in the copy inside the file.
    """

    format: Format
    checkpoint: Checkpoint
    program: ProgramSpec
    written_by: dict[str, Any]
    measured: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def input(self) -> InputSpec:
        """The pixels the program expects; raw ones if it normalizes them itself."""
        given = self.checkpoint.input
        assert given is not None
        if self.program.pixels is None:
            return given
        return InputSpec(given.modality, given.resize, given.crop, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)

    def summary(self) -> str:
        """One-line summary."""
        model, program = self.program.model, self.program
        kind = "streaming step" if program.streaming else counted(model.num_segments, "frame")
        pixels = "uint8 frames to probabilities" if program.pixels else "normalized frames to logits"
        writers = ", ".join(f"{name} {version}" for name, version in self.written_by.items())
        size = size_text(program.size)
        return f"{self.format.title}: {model.backbone}, {kind} of {size}, {pixels}; written by {writers}"

    def __str__(self) -> str:
        return self.summary()


def description_path(path: Path) -> Path:
    """Path of the description of an exported file or folder."""
    return path / FILE if path.is_dir() else path.with_name(f"{path.name}.{FILE}")


def encode(description: Description) -> str:
    """A description as JSON."""
    program = description.program
    content = {
        "trishift": FORMAT_VERSION,
        "format": description.format.name,
        "checkpoint": json.loads(encode_description(description.checkpoint)),
        "program": {
            "size": written_size(program.size),
            "uint8": program.pixels is not None,
            "streaming": program.streaming,
            "batch": program.batch,
            "inputs": [_port(port) for port in program.inputs],
            "outputs": [_port(port) for port in program.outputs],
        },
        "written_by": description.written_by,
    }
    if description.files:  # the copy inside the file is written before the file can be measured
        content |= {"measured": description.measured, "files": description.files}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": list(port.shape), "dtype": port.dtype}


def write_description(description: Description, path: Path) -> None:
    """Write the description of an exported file or folder `path`."""
    write_text(description_path(path), encode(description))


def read_description(path: Path) -> Description:
    """The description beside or inside an exported file or folder.

    Raises:
        CheckpointError: it is missing, damaged, or written by a newer version.
    """
    beside = description_path(path)
    try:
        text = beside.read_text(encoding="utf-8") if beside.is_file() else _inside(path)
    except Exception as error:  # damaged files fail in many ways
        raise CheckpointError(f"{path}: damaged or not an exported model ({brief(error)}); export it again") from error
    if text is None:
        raise CheckpointError(
            f"{path}: its description {beside.name} is missing; put it back or export the model again"
        )
    return decode(text, beside if beside.is_file() else path)


def decode(text: str, path: Path) -> Description:
    """The inverse of `encode`; `path` is used in messages."""
    try:
        content = json.loads(text)
        if content["trishift"] > FORMAT_VERSION:
            raise CheckpointError(f"{path}: written by a newer Trishift; upgrade Trishift")
        checkpoint = decode_description(path, {}, json.dumps(content["checkpoint"]))
        program = content["program"]
        if checkpoint.spec is None or checkpoint.input is None:
            raise ValueError("contains no model")
        _check_types(content)
        return Description(
            format=FORMATS[content["format"]],
            checkpoint=checkpoint,
            program=ProgramSpec(
                checkpoint.spec,
                size_of(program["size"]),
                checkpoint.input if program["uint8"] else None,
                program["streaming"],
                program["batch"],
            ),
            written_by=content["written_by"],
            measured=content.get("measured", {}),
            files=content.get("files", {}),
        )
    except RecursionError as error:
        raise CheckpointError(f"{path}: damaged, nested too deeply; export it again") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = brief(error)
        raise CheckpointError(f"{path}: damaged or not an exported model's description ({reason})") from error


def _check_types(content: dict[str, Any]) -> None:
    """Check the entries that programs rely on, and that every file name stays inside the exported folder."""
    program, measured, files = content["program"], content.get("measured", {}), content.get("files", {})
    sides = program["size"] if isinstance(program["size"], list) else [program["size"]]
    numbers = [*sides, *([] if program["batch"] is None else [program["batch"]])]
    if len(sides) > 2 or not all(type(number) is int and 0 < number < _MOST_PIXELS for number in numbers):
        raise ValueError("size or batch has the wrong type")
    if not isinstance(program["uint8"], bool) or not isinstance(program["streaming"], bool):
        raise ValueError("uint8 or streaming has the wrong type")
    if not all(isinstance(entry, dict) for entry in (content["written_by"], measured, files)):
        raise ValueError("written_by, measured or files is not a mapping")
    for name, entry in files.items():
        if name in ("", ".", "..") or not {*"/\\\0"}.isdisjoint(name):
            raise ValueError(f"{name[:60]!r} is not the name of one of its files")
        if not isinstance(entry["bytes"], int) or not isinstance(entry["sha256"], str):
            raise ValueError("bytes or sha256 has the wrong type")


def _inside(path: Path) -> str | None:
    """The copy of the description inside the file; None if there is none."""
    if path.is_dir():
        return None
    size = check_regular(path)
    if path.suffix == FORMATS["onnx"].suffix:
        return _onnx_metadata(path)
    if path.suffix == FORMATS["torch"].suffix:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith(f"/extra/{DESCRIPTION_KEY}")), None)
            if name is None:
                return None
            info = archive.getinfo(name)
            if info.file_size > _INFLATION * size:
                raise ValueError("its description unpacks to far more than its size")
            return read_entry(archive, info).decode()
    return None


def _onnx_metadata(path: Path) -> str | None:
    """The value of Trishift's key in the metadata of an ONNX file."""
    with path.open("rb") as file:
        for number, wire, length in fields(file, path.stat().st_size):
            if (number, wire) == (_ONNX_METADATA, BYTES):
                entries = fields(file, file.tell() + length)
                pair = {key: file.read(size) for key, inner, size in entries if inner == BYTES}
                if pair.get(1) == DESCRIPTION_KEY.encode():
                    return pair[2].decode()
    return None


def fingerprints(path: Path) -> dict[str, dict[str, Any]]:
    """Sizes and hashes of an exported file, or of the files of a folder (without the description)."""
    files = sorted(entry for entry in path.iterdir() if entry.name != FILE) if path.is_dir() else [path]
    return {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in files}


def check_files(path: Path, description: Description) -> None:
    """Refuse files that do not match the description.

    Raises:
        CheckpointError: a file is missing, truncated or different.
    """
    for name, expected in description.files.items():
        file = path / name if path.is_dir() else path
        if not is_file(file):
            raise CheckpointError(f"{shortened(file)}: is missing; copy or export the model again")
        size = file.stat().st_size
        if size < expected["bytes"]:
            raise CheckpointError(
                f"{file}: is truncated, {size} of {expected['bytes']} bytes; copy or export the model again"
            )
        if size != expected["bytes"] or sha256(file) != expected["sha256"]:
            raise CheckpointError(f"{file}: does not match its description; copy or export the model again")
