"""The network to read from a file that holds two, and files whose weights are rounded and cannot be read.

PaddleVideo saves teacher and student of its deep mutual learning (PP-TSMv2) side by side.
"""

from __future__ import annotations

import re
from dataclasses import replace

from trishift.checkpoints.answers import NETWORKS, Answers
from trishift.checkpoints.formats.stored import WeightFile
from trishift.errors import CheckpointError

_OWNER = re.compile(rf"({'|'.join(name.title() for name in NETWORKS)})\.(.+)")
_SCALES = re.compile(r"(^|[._])(fake_quant\w*|quantized\w*|\w+_quanter)\.")  # PaddleSlim, paddle.quantization
_FLOAT_FILE = "use the float weights; trishift export --format openvino-int8 rounds them"


def refuse_rounded(file: WeightFile) -> None:
    """Refuse weights that were trained or stored for integer arithmetic.

    Raises:
        CheckpointError: the file has integer weights, or the scales of training with simulated rounding.
    """
    for name, tensor in file.tensors.items():
        if tensor.dtype in ("int8", "uint8") and len(tensor.shape) > 1:
            raise CheckpointError(f"{file.path}: a quantized model, {name} has type {tensor.dtype}; {_FLOAT_FILE}")
        if _SCALES.search(name):
            raise CheckpointError(f"{file.path}: a model trained for quantization, which has {name}; {_FLOAT_FILE}")


def one_network(file: WeightFile, answers: Answers) -> WeightFile:
    """The file with the tensors of one network, without `Teacher.` or `Student.` before their names.

    Raises:
        CheckpointError: there are two, and `network` does not say which; or it names one that is not there.
    """
    owners = {name: match for name in file.tensors if (match := _OWNER.fullmatch(name))}
    found = {match[1].lower() for match in owners.values()}
    wanted = answers.given("network")
    if wanted is not None and wanted not in found:
        there = f"only a {found.pop()}" if found else "a single network"
        raise CheckpointError(f"{file.path}: network={wanted}, but the file holds {there}; leave network out")
    if len(found) > 1 and wanted is None:
        raise CheckpointError(
            f"{file.path}: holds a teacher and a student; set network=student or network=teacher (or convert one of "
            "them first: trishift convert SRC student.safetensors --network student)"
        )
    if not found:
        return file
    if len(found) > 1:  # the published teachers have their students' T
        answers.never_assume("num_segments", "the number of frames per clip, 8 or 16 in published pairs of networks")
    chosen = wanted or found.pop()
    mine = {name: match[2] for name, match in owners.items() if match[1].lower() == chosen}
    others = {name: f"of the {match[1].lower()}" for name, match in owners.items() if name not in mine}
    tensors = {mine.get(name, name): tensor for name, tensor in file.tensors.items() if name not in others}
    return replace(file, tensors=tensors, ignored={**file.ignored, **others})
