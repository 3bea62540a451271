"""Model repositories of Triton Inference Server.

REPOSITORY/NAME/config.pbtxt      inputs, outputs and batching
REPOSITORY/NAME/labels.txt        class names
REPOSITORY/NAME/1/model.onnx      the program, verified like every export, beside its description
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trishift.backends.program import Port
from trishift.checkpoints.canonical import Checkpoint
from trishift.errors import OutputError, RecipeError
from trishift.export.description import Description
from trishift.export.planning import ExportOptions
from trishift.export.writing import Exported, export_checkpoint
from trishift.io.atomic import staged, write_text
from trishift.io.terminal import printable

_VERSION = "1"
_MOST_CLIPS = 8  # per batch
_LABELS = "labels.txt"
_LABEL_FILE = f'label_filename: "{_LABELS}"'
_TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}


def check_entry(repository: Path, name: str, options: ExportOptions) -> None:
    """Refuse an entry that could not be written, before the work.

    Raises:
        RecipeError: Triton cannot batch such programs.
        OutputError: the entry exists.
    """
    if options.streaming:
        raise RecipeError("--triton: a batch has clips of many clients, but a stream has a state; remove --streaming")
    if options.framework not in (None, "pytorch"):
        raise RecipeError(f"--triton: {options.framework} fixes the batch of its ONNX files; remove --framework")
    if (repository / name).exists():
        raise OutputError(f"{repository / name}: exists already; choose another --name or remove it")


def write_entry(checkpoint: Checkpoint, options: ExportOptions, repository: Path, name: str) -> Exported:
    """Write the entry of a model.

    Args:
        checkpoint: the model.
        options: of the export, in the format `onnx`.
        repository: folder of all models; created if missing.
        name: name of the model.

    Raises like `export_checkpoint`.
    """
    with staged(repository / name) as entry:
        exported = export_checkpoint(checkpoint, options, entry / _VERSION, "model")
        write_text(entry / "config.pbtxt", config_text(exported.description, name))
        write_text(entry / _LABELS, "".join(f"{printable(label)}\n" for label in _labels(checkpoint)))
    return replace(exported, path=repository / name)


def config_text(description: Description, name: str) -> str:
    """`config.pbtxt`, in protobuf's text format."""
    program = description.program
    return (
        f"name: {json.dumps(name, ensure_ascii=False)}\n"
        'backend: "onnxruntime"\n'
        f"max_batch_size: {_MOST_CLIPS}\n"
        f"{_ports('input', program.inputs)}"
        f"{_ports('output', program.outputs, _LABEL_FILE)}"
        "dynamic_batching {}\n"
    )


def _ports(kind: str, ports: Sequence[Port], *more: str) -> str:
    blocks = []
    for port in ports:
        dims = ", ".join(map(str, port.shape[1:]))  # without the batch
        lines = [f'name: "{port.name}"', f"data_type: {_TYPES[port.dtype]}", f"dims: [{dims}]", *more]
        blocks.append(f"{kind} {{\n" + "".join(f"  {line}\n" for line in lines) + "}\n")
    return "".join(blocks)


def _labels(checkpoint: Checkpoint) -> Sequence[str]:
    assert checkpoint.spec is not None
    return checkpoint.labels or tuple(map(str, range(checkpoint.spec.num_classes)))
