"""Files with two networks, of which one is chosen, and files with rounded weights, which are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from testing import originals
from testing.golden_records import SPECS
from testing.originals import Shapes, in_file, read

from trishift.checkpoints.formats.stored import in_memory
from trishift.checkpoints.reading import import_file
from trishift.errors import CheckpointError


def shapes_of(record: str, owner: str) -> Shapes:
    """Names of a network as PaddleVideo saves it beside another one: backbone and head are numbered."""
    keys = originals.record(record)["keys"]
    named = {name.replace("backbone.", f"{owner}.0.").replace("head.", f"{owner}.1."): shape for name, shape in keys}
    return {name: tuple(shape) for name, shape in named.items()}


MUTUAL = {**shapes_of("pptsm_resnet50_vd_8f", "Teacher"), **shapes_of("pptsmv2_lcnet", "Student")}


def test_one_of_two_networks_is_chosen() -> None:
    with pytest.raises(CheckpointError, match="holds a teacher and a student; set network=student or network=teacher"):
        read(MUTUAL)
    student, report = import_file(in_file(MUTUAL), network="student")
    assert student.spec == SPECS["pptsmv2_lcnet"]
    assert report.dropped["Teacher.1.fc.weight"] == "of the teacher"
    teacher = read(MUTUAL, network="teacher", num_segments=16, shift="blockres")
    assert (teacher.spec.backbone, teacher.spec.num_segments, teacher.spec.num_classes) == ("resnet50_vd", 16, 400)


def test_num_segments_of_a_teacher_is_asked() -> None:
    with pytest.raises(CheckpointError, match=r"the number of frames per clip, 8 or 16 .* --num-segments"):
        read(MUTUAL, network="teacher")
    assert read(MUTUAL, "PPTSMv2_k400_16f_dml.pdparams", network="teacher").spec.num_segments == 16


def test_networks_that_are_not_there_are_refused() -> None:
    with pytest.raises(CheckpointError, match="network=teacher, but the file holds only a student; leave network out"):
        read(shapes_of("pptsmv2_lcnet", "Student"), network="teacher")
    plain = {name: tuple(shape) for name, shape in originals.record("pptsmv2_lcnet")["keys"]}
    with pytest.raises(CheckpointError, match="network=student, but the file holds a single network"):
        read(plain, network="student")


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("network", "pupil", "student, teacher"),
        ("relations", "none", "expected, all, first, sampled"),
        ("modality", "depth", "rgb, flow, rgbdiff"),
    ],
)
def test_unknown_answers_are_refused(option: str, value: str, known: str) -> None:
    with pytest.raises(CheckpointError, match=f"weights: {option}='{value}' is unknown; one of {known}"):
        read(MUTUAL, **{option: value})


@pytest.mark.parametrize(
    "scale", ["backbone.conv._fake_quant_weight._scale", "backbone.conv.weight_quanter._scale", "quantized_0.scale"]
)
def test_scales_of_quantization_are_refused(scale: str) -> None:
    shapes = {name: tuple(shape) for name, shape in originals.record("pptsm_mobilenetv3_8f")["keys"]}
    with pytest.raises(CheckpointError, match=r"trained for quantization, which has .*; use the float weights"):
        read({**shapes, scale: (1,)})


def test_integer_weights_are_refused() -> None:
    file = in_file({name: tuple(shape) for name, shape in originals.record("pptsm_mobilenetv3_8f")["keys"]})
    name = "backbone.conv.conv.weight"
    rounded = {**file.tensors, name: in_memory(np.zeros(file.tensors[name].shape, np.int8))}
    with pytest.raises(CheckpointError, match=r"a quantized model, backbone\.conv\.conv\.weight has type int8"):
        import_file(replace(file, tensors=rounded))
